/* Who takes what from the queue, over connections that are not connected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "imap/base/clock.h"
#include "imap/pool/pool_state.h"

struct scene {
    struct pool pool;
    struct conn conns[2];
};

/* The second connection is up, and has the mailbox A selected. */
static struct conn *begin(struct scene *s)
{
    static const struct pool_config config = {.timeout = 30000};
    static char mailbox[] = "A";
    *s = (struct scene){.pool = {.config = &config, .lock = PTHREAD_MUTEX_INITIALIZER}};
    s->pool.conns = s->conns;
    s->pool.nconns = 2;
    s->conns[0].wake = s->conns[1].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->conns[1].index = 1;
    s->conns[1].status = CONN_UP;
    s->conns[1].box_name = mailbox;
    s->conns[1].box_write = true;
    return &s->conns[1];
}

static void end(struct scene *s)
{
    assert_null(s->pool.queue);
    close(s->conns[0].wake);
}

static struct op *queue(struct scene *s, enum op_kind kind)
{
    struct op *op = op_new(kind, "A", 7);
    op->uid = 5;
    op->submitted = clock_ms();
    op->done = op_free;
    DL_APPEND(s->pool.queue, op);
    return op;
}

static struct op *queue_stream(struct scene *s)
{
    struct op *op = queue(s, OP_BODY);
    op->stream = true;
    op->len = 1 << 24;
    return op;
}

/* A message is streamed behind a COPY. When that ends as one that is to be settled on a connection
 * of its own, which it had not been until then, the stream is still what nothing may begin behind.
 */
static void test_settled_before_a_stream(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *copy = queue(&s, OP_COPY), *stream = queue_stream(&s);
    assert_ptr_equal(pool_take(&s.pool, c), copy);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    struct op *flags = queue(&s, OP_FLAGS);
    assert_null(pool_take(&s.pool, c));
    copy->apart = copy->resumed = true;
    pool_done(&s.pool, c, copy, -EINPROGRESS);
    assert_null(pool_take(&s.pool, c));

    pool_done(&s.pool, c, stream, 0);
    assert_ptr_equal(pool_take(&s.pool, c), flags);
    assert_null(pool_take(&s.pool, c));
    pool_done(&s.pool, c, flags, 0);
    assert_ptr_equal(pool_take(&s.pool, c), copy);
    pool_done(&s.pool, c, copy, 0);
    end(&s);
}

/* What is given to another connection, or lost, is in nobody's way here any more. */
static void test_let_go(void **state)
{
    (void)state;
    struct scene s;
    struct conn *c = begin(&s);
    struct op *stream = queue_stream(&s), *flags = queue(&s, OP_FLAGS);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    assert_null(pool_take(&s.pool, c));
    pool_lost(&s.pool, c, stream, -ECONNRESET);
    assert_ptr_equal(pool_take(&s.pool, c), stream);
    pool_pass_on(&s.pool, c, stream);
    DL_DELETE(s.pool.queue, stream);
    op_free(stream);
    assert_ptr_equal(pool_take(&s.pool, c), flags);
    pool_done(&s.pool, c, flags, 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settled_before_a_stream),
        cmocka_unit_test(test_let_go),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
