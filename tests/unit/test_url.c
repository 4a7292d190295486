/* The SOURCE argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "imap/wire/url.h"

static const struct {
    const char *text;
    bool tls;
    const char *user, *host, *port, *mailbox;
} good[] = {
    {"imaps://mail.example.org", true, NULL, "mail.example.org", "993", NULL},
    {"imap://mail.example.org", false, NULL, "mail.example.org", "143", NULL},
    {"IMAPS://Mail.Example.org/", true, NULL, "Mail.Example.org", "993", NULL},
    {"iMaP://h", false, NULL, "h", "143", NULL},
    {"imaps://alice@h", true, "alice", "h", "993", NULL},
    {"imaps://me%40example.org@h", true, "me@example.org", "h", "993", NULL},
    {"imaps://me@example.org@h", true, "me@example.org", "h", "993", NULL},
    {"imaps://a%3Ab@h", true, "a:b", "h", "993", NULL},
    {"imaps://J%C3%B6rg@h", true, "Jörg", "h", "993", NULL},
    {"imaps://Jörg@h", true, "Jörg", "h", "993", NULL},
    {"imaps://dom%5Cuser+x=y@h", true, "dom\\user+x=y", "h", "993", NULL},
    {"imaps://h:1", true, NULL, "h", "1", NULL},
    {"imaps://h:65535/INBOX", true, NULL, "h", "65535", "INBOX"},
    {"imaps://h:0993", true, NULL, "h", "993", NULL},
    {"imaps://h/Archive/2025/", true, NULL, "h", "993", "Archive/2025"},
    {"imaps://h///Archive//", true, NULL, "h", "993", "Archive"},
    {"imaps://h//", true, NULL, "h", "993", NULL},
    {"imaps://h/%2F%2F", true, NULL, "h", "993", NULL},
    {"imaps://h/Sent%20Items", true, NULL, "h", "993", "Sent Items"},
    {"imaps://h/Sent Items", true, NULL, "h", "993", "Sent Items"},
    {"imaps://h/Entw%c3%bcrfe", true, NULL, "h", "993", "Entwürfe"},
    {"imaps://h/%23shared/a%3Fb", true, NULL, "h", "993", "#shared/a?b"},
    {"imaps://h/user@example.org", true, NULL, "h", "993", "user@example.org"},
    {"imaps://h/a:b", true, NULL, "h", "993", "a:b"},
    {"imaps://u@192.0.2.1:10143/x", true, "u", "192.0.2.1", "10143", "x"},
    {"imaps://[::1]", true, NULL, "::1", "993", NULL},
    {"imaps://u@[2001:db8::7]:1993/x", true, "u", "2001:db8::7", "1993", "x"},
    {"imap://[fe80::1%25eth0]", false, NULL, "fe80::1%eth0", "143", NULL},
    {"imap://[fe80::1%eth0]:144", false, NULL, "fe80::1%eth0", "144", NULL},
    {"imap://[::ffff:192.0.2.1]", false, NULL, "::ffff:192.0.2.1", "143", NULL},
    {"imaps://a_b-c.d.", true, NULL, "a_b-c.d.", "993", NULL},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct url u;
        struct buf why = {0};
        if (url_parse(good[i].text, &u, &why) != 0)
            fail_msg("%s: %s", good[i].text, buf_str(&why));
        assert_int_equal(why.len, 0);
        assert_int_equal(u.tls, good[i].tls);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.port, good[i].port);
        assert_string_equal(u.user ? u.user : "-", good[i].user ? good[i].user : "-");
        assert_string_equal(u.mailbox ? u.mailbox : "-", good[i].mailbox ? good[i].mailbox : "-");
        url_free(&u);
        assert_null(u.host);
        url_free(&u);
        buf_free(&why);
    }
}

static const struct {
    const char *text, *word; /* the reason holds this word */
} bad[] = {
    {"", "neither"},
    {"work", "neither"},
    {"mail.example.org", "neither"},
    {"imaps:/h", "neither"},
    {"imaps:h", "neither"},
    {"imap", "neither"},
    {"https://h", "neither"},
    {"ximaps://h", "neither"},
    {"\xc9MAP://h", "neither"},
    {"imaps://", "no host"},
    {"imaps:///INBOX", "no host"},
    {"imaps://@h", "empty"},
    {"imaps://u@", "no host"},
    {"imaps://u@/x", "no host"},
    {"imaps://:993", "no host"},
    {"imaps://h:", "port"},
    {"imaps://h:0", "port"},
    {"imaps://h:65536", "port"},
    {"imaps://h:99999999999999999999", "port"},
    {"imaps://h:-1", "port"},
    {"imaps://h:+1", "port"},
    {"imaps://h:993x", "port"},
    {"imaps://h:imaps", "port"},
    {"imaps://::1", "brackets"},
    {"imaps://2001:db8::7/x", "brackets"},
    {"imaps://[]", "IPv6"},
    {"imaps://[::1", "IPv6"},
    {"imaps://[::1]x", "IPv6"},
    {"imaps://[::1]:", "port"},
    {"imaps://[1.2.3.4]", "IPv6"},
    {"imaps://[fe80::1%25]", "IPv6"},
    {"imaps://[fe80::1%25-x]", "IPv6"},
    {"imaps://[:::::::::::::::::::::::::::::::::::::::::::::::::::::::]", "IPv6"},
    {"imaps://-oProxyCommand=x", "character"}, /* never an option of anything */
    {"imaps://.h", "character"},
    {"imaps://h%2Eorg", "character"},
    {"imaps://h h", "character"},
    {"imaps://h\n", "character"},
    {"imaps://h\\x", "character"},
    {"imaps://münchen.example", "character"},
    {"imaps://h/?x", "'?'"},
    {"imaps://h/a;UID=1#x", "'?'"},
    {"imaps://h?x", "'?'"},
    {"imaps://u;AUTH=*@h", "auth="},
    {"imaps://;auth=PLAIN@h", "auth="},
    {"imaps://h/%", "percent"},
    {"imaps://h/%4", "percent"},
    {"imaps://h/%zz", "percent"},
    {"imaps://u%@h", "percent"},
    {"imaps://h/%00", "control"},
    {"imaps://h/a%0D%0Ab", "control"},
    {"imaps://h/a\nb", "control"},
    {"imaps://u%0a@h", "control"},
    {"imaps://h/%7F", "control"},
    {"imaps://h/%C2%85", "control"},
    {"imaps://h/%FF", "UTF-8"},
    {"imaps://h/%C0%80", "UTF-8"},
    {"imaps://h/%ED%A0%80", "UTF-8"},
    {"imaps://u\xff@h", "UTF-8"},
    /* Passwords, also where a slip puts them elsewhere. */
    {"imaps://user:seCret@host", "passfile"},
    {"imaps://user:@host", "passfile"},
    {"imaps://:seCret@host", "passfile"},
    {"imaps://me@example.org:seCret@host", "passfile"},
    {"imaps://user:seCret@host:99999/x", "passfile"},
    {"imaps://user:se%zzCret@host", "passfile"},
    {"imaps://user:seCret#?@host", "passfile"},
    {"imaps://user:seCret@host/?x", "passfile"},
    {"imaps://user:se/Cret@host", "passfile"},
    {"imaps://user:seCret\x01@host", "passfile"},
    {"imaps://user:seCret", "port"},
    {"imaps://user:12/seCret?@host", "'?'"},
    {"http://user:seCret@host", "neither"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct url u = {.tls = true, .port = (char *)"x"};
        struct buf why = {0};
        buf_adds(&why, "what was there");
        if (url_parse(bad[i].text, &u, &why) != -EINVAL)
            fail_msg("%s is accepted", bad[i].text);
        if (!strstr(buf_str(&why), bad[i].word))
            fail_msg("%s: %s", bad[i].text, buf_str(&why));
        assert_null(strcasestr(buf_str(&why), "cret"));
        assert_null(strstr(buf_str(&why), "what was there"));
        assert_null(strchr(buf_str(&why), '\n'));
        assert_true(!u.tls && !u.user && !u.host && !u.port && !u.mailbox);
        buf_free(&why);
    }
}

static void test_long_host(void **state)
{
    (void)state;
    struct url u;
    struct buf why = {0}, text = {0};
    buf_adds(&text, "imaps://");
    for (int i = 0; i < 253; i++)
        buf_addc(&text, 'a');
    assert_int_equal(url_parse(buf_str(&text), &u, &why), 0);
    url_free(&u);
    buf_addc(&text, 'a');
    assert_int_equal(url_parse(buf_str(&text), &u, &why), -EINVAL);
    assert_non_null(strstr(buf_str(&why), "too long"));
    buf_free(&why);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_long_host),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
