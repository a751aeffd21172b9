#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/target_book.h"

static struct problems *problems;
static struct probe_spec *file, *extended;
static struct target_book *book;

static int begin(void **state)
{
    (void)state;
    file = extended = NULL;
    book = NULL;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    probe_spec_extended_free(extended);
    probe_spec_destroy(file);
    target_book_put(book);
    problems_destroy(problems);
    return 0;
}

static void given_file(const char *text)
{
    if (probe_spec_read_text(&file, "p.yaml", text, strlen(text), problems))
        fail_msg("%s", problems_text(problems, 0));
}

static struct target_list *a_list(enum probe_kind kind, const char *text)
{
    struct target_list *list = NULL;

    if (target_list_read(&list, kind, TARGET_FORMAT_YAML, "t", text, strlen(text), problems))
        fail_msg("%s", problems_text(problems, 0));
    return list;
}

/* A book whose pages are those of the file's sources, in order; a NULL text: never loaded. */
static void given_book(const char *const *texts)
{
    struct target_page pages[16] = {{0}};
    size_t count = 0;

    for (size_t i = 0; i < file->count; i++)
        for (size_t k = 0; k < file->entries[i].list_count; k++, count++) {
            enum probe_kind kind = file->entries[i].kind;

            pages[count] = (struct target_page){kind, file->entries[i].lists[k],
                                                texts[count] ? a_list(kind, texts[count]) : NULL};
        }
    assert_int_equal(target_book_create(&book, pages, count), PROBER_OK);
    for (size_t i = 0; i < count; i++)
        target_list_put(pages[i].list);
}

/* "region: targets" of every entry, one a line. */
static void expect_entries(const char *wanted)
{
    struct strbuf text = STRBUF_INIT;

    assert_int_equal(probe_spec_extend(&extended, file, book), PROBER_OK);
    for (size_t i = 0; i < extended->count; i++) {
        strbuf_printf(&text, "%s:", extended->entries[i].region);
        for (size_t k = 0; k < extended->entries[i].target_count; k++)
            strbuf_printf(&text, " %s", extended->entries[i].targets[k]);
        strbuf_putc(&text, '\n');
    }
    assert_string_equal(text.bytes ? text.bytes : "", wanted);
    strbuf_free(&text);
}

static void listed_targets_come_behind_those_of_the_entry(void **state)
{
    (void)state;
    given_file(
        "prober_configs:\n"
        "- {prober_type: http, region: r, targets: [z], file_sd_configs: [{files: [a.json]},\n"
        "   {files: [b.json]}]}\n"
        "- {prober_type: icmp, region: s, targets: [q]}\n");
    given_book((const char *const[]){"- targets: [b, a]\n", "- targets: [c, a]\n"});
    expect_entries("r: z a b c\ns: q\n");
    assert_ptr_equal(extended->entries[0].http, file->entries[0].http);
}

static void targets_of_other_regions_get_entries_of_their_own(void **state)
{
    (void)state;
    given_file("prober_configs:\n"
               "- {prober_type: http, name: n, region: m, file_sd_configs: [{files: [a.json]}]}\n"
               "- {prober_type: http, region: z, targets: [q]}\n");
    given_book((const char *const[]){"- {targets: [a]}\n- {targets: [b], labels: {region: x}}\n"
                                     "- {targets: [c], labels: {region: m}}\n"
                                     "- {targets: [d], labels: {region: b}}\n"});
    expect_entries("m: a c\nb: d\nx: b\nz: q\n");
    assert_string_equal(extended->entries[1].name, "n");
    assert_int_equal(extended->entries[1].kind, PROBE_HTTP);
}

static void a_confidential_target_makes_no_other_confidential(void **state)
{
    (void)state;
    given_file(
        "prober_configs:\n"
        "- {prober_type: http, region: r, targets: [z], file_sd_configs: [{files: [a.json]}]}\n");
    given_book((const char *const[]){"- {targets: [b, 'http://me:hush@a/', c]}\n"
                                     "- {targets: ['u@d', e], labels: {region: s}}\n"});
    expect_entries("r: z b c\nr: http://me:hush@a/\ns: e\ns: u@d\n");
    assert_false(probe_entry_is_confidential(&extended->entries[0]));
    assert_true(probe_entry_is_confidential(&extended->entries[1]));
}

static void what_was_never_loaded_lists_nothing(void **state)
{
    (void)state;
    given_file("prober_configs:\n"
               "- {prober_type: icmp, region: r, http_sd_configs: [{url: 'http://a'}]}\n");
    given_book((const char *const[]){NULL});
    expect_entries("r:\n");
    probe_spec_extended_free(extended);
    target_book_put(book);
    book = NULL;
    expect_entries("r:\n");
}

static void a_source_is_found_by_all_that_makes_it_and_by_kind(void **state)
{
    struct probe_spec *other;
    static const char text[] = "prober_configs:\n"
                               "- {prober_type: http, http_sd_configs: [{url: 'http://b'}]}\n"
                               "- {prober_type: icmp, http_sd_configs: [{url: 'http://a'}]}\n"
                               "- {prober_type: http, http_sd_configs: [{url: 'http://a'}]}\n";

    (void)state;
    given_file(text);
    given_book((const char *const[]){"- targets: [x]\n", "- targets: [y]\n", "- targets: [z]\n"});
    other = file;
    given_file(text); /* as after a reload */
    probe_spec_destroy(other);
    expect_entries(": x\n: y\n: z\n");
    assert_null(target_book_find(book, PROBE_ICMP, file->entries[0].lists[0]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(listed_targets_come_behind_those_of_the_entry),
        TEST(targets_of_other_regions_get_entries_of_their_own),
        TEST(a_confidential_target_makes_no_other_confidential),
        TEST(what_was_never_loaded_lists_nothing),
        TEST(a_source_is_found_by_all_that_makes_it_and_by_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
