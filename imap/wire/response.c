#include "imap/wire/response.h"

#include <errno.h>

#include "imap/base/limits.h"

/* What is left to read, and how deep and how much was read. */
struct reader {
    struct arena *arena;
    char *p;
    char *end; /* before the line end */
    unsigned depth;
    unsigned tokens;
};

static void skip_spaces(struct reader *r)
{
    while (r->p < r->end && *r->p == ' ')
        r->p++;
}

static struct str word(struct reader *r)
{
    const char *from = r->p;
    while (r->p < r->end && *r->p != ' ')
        r->p++;
    return (struct str){from, (size_t)(r->p - from)};
}

/* The end of a quoted string is the quote that a delimiter follows: Proton sends others inside. */
static bool closes_string(const struct reader *r, const char *quote)
{
    const char *next = quote + 1;
    return next >= r->end || *next == ' ' || *next == ')' || *next == ']' || *next == '\r' ||
           *next == '\n';
}

static int read_quoted(struct reader *r, struct str *s)
{
    char *to = ++r->p;
    s->p = to;
    for (; r->p < r->end && *r->p != '\n'; r->p++) {
        if (*r->p == '"' && closes_string(r, r->p)) {
            s->n = (size_t)(to - s->p);
            r->p++;
            return 0;
        }
        if (*r->p == '\\' && r->p + 1 < r->end)
            r->p++;
        *to++ = *r->p;
    }
    return -EPROTO;
}

static int read_literal(struct reader *r, struct str *s)
{
    char *p = r->p + 1;
    uint64_t n = 0;
    for (; p < r->end && *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > LIMIT_LITERAL)
            return -EPROTO;
    }
    if (p < r->end && *p == '+')
        p++;
    if (p == r->end || *p++ != '}')
        return -EPROTO;
    if (p < r->end && *p == '\r')
        p++;
    if (p == r->end || *p++ != '\n' || (uint64_t)(r->end - p) < n)
        return -EPROTO;
    *s = (struct str){p, (size_t)n};
    r->p = p + n;
    return 0;
}

static bool has_section(struct str item)
{
    return str_is(item, "BODY") || str_is(item, "BODY.PEEK") || str_starts(item, "BINARY");
}

/* Brackets belong to the atom with all that is in them: BODY[HEADER.FIELDS ("FROM")]<0>. */
static void read_atom(struct reader *r, struct str *s)
{
    s->p = r->p;
    bool bracket = false;
    for (; r->p < r->end; r->p++) {
        char c = *r->p;
        if (c == '[' && has_section((struct str){s->p, (size_t)(r->p - s->p)}))
            bracket = true;
        else if (c == ']')
            bracket = false;
        else if (!bracket && (c == ' ' || c == '(' || c == ')'))
            break;
        if (c == '\r' || c == '\n')
            break;
    }
    s->n = (size_t)(r->p - s->p);
}

static int read_args(struct reader *r, struct arg **first);

static int read_arg(struct reader *r, struct arg *arg)
{
    char c = *r->p;
    if (c == '(') {
        if (++r->depth > LIMIT_NESTING)
            return -EPROTO;
        r->p++;
        arg->type = ARG_LIST;
        int err = read_args(r, &arg->child);
        if (err)
            return err;
        if (r->p == r->end || *r->p != ')')
            return -EPROTO;
        r->p++;
        r->depth--;
        return 0;
    }
    if (c == '"' || c == '{' || (c == '~' && r->p + 1 < r->end && r->p[1] == '{')) {
        arg->type = ARG_STRING;
        if (c == '~')
            r->p++;
        return c == '"' ? read_quoted(r, &arg->s) : read_literal(r, &arg->s);
    }
    arg->type = ARG_ATOM;
    read_atom(r, &arg->s);
    if (arg->s.n == 0)
        return -EPROTO;
    if (str_is(arg->s, "NIL"))
        arg->type = ARG_NIL;
    return 0;
}

/* Reads up to the end or a closing parenthesis, which it leaves. */
static int read_args(struct reader *r, struct arg **first)
{
    struct arg **link = first;
    for (;;) {
        skip_spaces(r);
        if (r->p == r->end || *r->p == ')')
            return 0;
        if (++r->tokens > LIMIT_TOKENS)
            return -EPROTO;
        struct arg *arg = arena_alloc(r->arena, sizeof *arg);
        int err = arg ? read_arg(r, arg) : -ENOMEM;
        if (err)
            return err;
        *link = arg;
        link = &arg->next;
    }
}

static enum resp_cond condition(struct str w)
{
    static const struct {
        const char *name;
        enum resp_cond cond;
    } table[] = {
        {"OK", COND_OK},   {"NO", COND_NO},           {"BAD", COND_BAD},
        {"BYE", COND_BYE}, {"PREAUTH", COND_PREAUTH},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(w, table[i].name))
            return table[i].cond;
    return COND_NONE;
}

/* "[CODE args] text"; a code without text behind it is fine (Gmail, iCloud), and a bracket that is
 * never closed is text. */
static int read_text(struct reader *r, struct response *out)
{
    skip_spaces(r);
    out->text = (struct str){r->p, (size_t)(r->end - r->p)};
    if (r->p == r->end || *r->p != '[')
        return 0;
    char *close = NULL;
    bool quoted = false;
    for (char *p = r->p + 1; p < r->end && !close; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == ']' && !quoted)
            close = p;
    }
    if (!close)
        return 0;
    struct reader in = {.arena = r->arena, .p = r->p + 1, .end = close};
    out->code = word(&in);
    int err = read_args(&in, &out->code_args);
    if (err || in.p != in.end)
        out->code_args = NULL;
    r->p = close + 1;
    skip_spaces(r);
    out->text = (struct str){r->p, (size_t)(r->end - r->p)};
    return err == -ENOMEM ? err : 0;
}

static bool all_digits(struct str w)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.p[i] < '0' || w.p[i] > '9')
            return false;
    return w.n > 0;
}

int response_parse(struct arena *a, char *data, size_t len, struct response *out)
{
    *out = (struct response){0};
    struct reader r = {.arena = a, .p = data, .end = data + len};
    if (r.end > r.p && r.end[-1] == '\n')
        r.end--;
    if (r.end > r.p && r.end[-1] == '\r')
        r.end--;

    if (r.p < r.end && *r.p == '+') {
        out->kind = RESP_CONTINUE;
        r.p++;
        return read_text(&r, out);
    }
    struct str first = word(&r);
    out->kind = str_is(first, "*") ? RESP_UNTAGGED : RESP_TAGGED;
    out->tag = first;
    skip_spaces(&r);
    struct str name = word(&r);
    if (out->kind == RESP_UNTAGGED && all_digits(name)) {
        struct arg number = {.type = ARG_ATOM, .s = name};
        uint64_t n;
        if (!arg_number(&number, UINT32_MAX, &n))
            return -EPROTO;
        out->has_number = true;
        out->number = (uint32_t)n;
        skip_spaces(&r);
        name = word(&r);
    }
    if (first.n == 0 || name.n == 0)
        return -EPROTO;
    out->name = name;
    out->cond = out->has_number ? COND_NONE : condition(name);
    if (out->cond != COND_NONE) {
        return read_text(&r, out);
    }
    if (out->kind == RESP_TAGGED)
        return -EPROTO;
    int err = read_args(&r, &out->args);
    return err ? err : r.p == r.end ? 0 : -EPROTO;
}

bool arg_number(const struct arg *arg, uint64_t max, uint64_t *n)
{
    if (!arg || arg->type != ARG_ATOM || !all_digits(arg->s))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < arg->s.n; i++) {
        uint64_t digit = (uint64_t)(arg->s.p[i] - '0');
        if (digit > max || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *n = v;
    return true;
}
