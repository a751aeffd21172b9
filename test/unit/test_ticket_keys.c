#include "test/unit/given_files.h"

#include <sys/stat.h>

#include "common/ticket_keys.h"

#define NOW INT64_C(1800000000)
#define HOUR INT64_C(3600)

static struct given_files files;
static struct ticket_keys *keys;
static struct prober_failure why;
static unsigned char ticket[256];
static size_t ticket_len;

static const char *path(void)
{
    return given_path(&files, "tickets");
}

static void reopen(int64_t now_s)
{
    ticket_keys_close(keys);
    assert_int_equal(ticket_keys_open(&keys, path(), now_s, &why), PROBER_OK);
}

static enum prober_error seal(int64_t now_s, int64_t expires_s)
{
    return ticket_keys_seal(keys, now_s, expires_s, "ctx", 3, "secret", 6, ticket, sizeof(ticket),
                            &ticket_len);
}

/* Opens a copy, as opening is done in place. */
static enum prober_error unseal_in(int64_t now_s, const char *context)
{
    unsigned char copy[sizeof(ticket)], *plain;
    size_t len;
    enum prober_error err;

    memcpy(copy, ticket, sizeof(copy));
    err = ticket_keys_unseal(keys, now_s, context, strlen(context), copy, ticket_len, &plain, &len);
    if (!err) {
        assert_int_equal(len, 6);
        assert_memory_equal(plain, "secret", 6);
    }
    return err;
}

static enum prober_error unseal(int64_t now_s)
{
    return unseal_in(now_s, "ctx");
}

static void what_was_sealed_is_opened_until_it_expires(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    assert_int_equal(ticket_len, 6 + TICKET_OVERHEAD);
    assert_int_equal(unseal(NOW), PROBER_OK);
    assert_int_equal(unseal(NOW + HOUR - 1), PROBER_OK);
    assert_int_equal(unseal(NOW + HOUR), PROBER_ERR_TIMEOUT);
}

static void a_ticket_lives_for_a_day_at_most(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + 1000 * HOUR), PROBER_OK);
    assert_int_equal(unseal(NOW + 24 * HOUR - 1), PROBER_OK);
    assert_int_equal(unseal(NOW + 24 * HOUR), PROBER_ERR_TIMEOUT);
    assert_int_equal(seal(NOW, NOW), PROBER_ERR_RANGE);
}

static void a_ticket_of_a_clock_that_was_ahead_is_refused(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW + 100 * HOUR, NOW + 110 * HOUR), PROBER_OK);
    assert_int_equal(unseal(NOW), PROBER_ERR_TIMEOUT);
}

static void a_changed_bit_anywhere_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    for (size_t i = 0; i < 8 * ticket_len; i++) {
        ticket[i / 8] ^= (unsigned char)(1 << i % 8);
        assert_int_not_equal(unseal(NOW), PROBER_OK);
        ticket[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    for (; ticket_len; ticket_len--)
        assert_int_equal(unseal(NOW), ticket_len == 6 + TICKET_OVERHEAD ? PROBER_OK
                                      : ticket_len >= TICKET_OVERHEAD   ? PROBER_ERR_PROTOCOL
                                                                        : PROBER_ERR_NOT_FOUND);
}

static void a_ticket_of_another_context_is_refused(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    assert_int_equal(unseal_in(NOW, "cty"), PROBER_ERR_PROTOCOL);
    assert_int_equal(unseal_in(NOW, ""), PROBER_ERR_PROTOCOL);
}

static void tickets_outlive_the_rotation_of_keys_and_restarts(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + 24 * HOUR), PROBER_OK);
    for (int64_t hour = 0; hour < 24; hour++) {
        if (hour % 5 == 0)
            reopen(NOW + hour * HOUR);
        assert_int_equal(ticket_keys_rotate(keys, NOW + hour * HOUR, &why), PROBER_OK);
        assert_int_equal(unseal(NOW + hour * HOUR), PROBER_OK);
    }
}

static void a_key_is_gone_when_none_of_its_tickets_lives(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + 24 * HOUR), PROBER_OK);
    assert_int_equal(ticket_keys_rotate(keys, NOW + 12 * HOUR, &why), PROBER_OK);
    assert_int_equal(ticket_keys_rotate(keys, NOW + 36 * HOUR, &why), PROBER_OK);
    assert_int_equal(unseal(NOW + HOUR), PROBER_ERR_NOT_FOUND);
    reopen(NOW + 36 * HOUR);
    assert_int_equal(unseal(NOW + HOUR), PROBER_ERR_NOT_FOUND);
}

static void a_key_of_the_future_is_rotated_as_one_of_today(void **state)
{
    (void)state;
    assert_int_equal(ticket_keys_rotate(keys, NOW - 8760 * HOUR, &why), PROBER_OK);
    assert_int_equal(seal(NOW - 8760 * HOUR, NOW), PROBER_OK);
    assert_int_equal(ticket_keys_rotate(keys, NOW - 8700 * HOUR, &why), PROBER_OK);
    assert_int_equal(unseal(NOW - 8760 * HOUR), PROBER_ERR_NOT_FOUND);
}

static void many_rotations_stay_within_bounds(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 100; day++)
        assert_int_equal(ticket_keys_rotate(keys, NOW + day * 24 * HOUR, &why), PROBER_OK);
    reopen(NOW + 99 * 24 * HOUR);
    assert_int_equal(why.code, PROBER_OK);
}

static void the_file_is_the_owners_alone(void **state)
{
    struct stat about;
    (void)state;

    assert_int_equal(stat(path(), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void keys_that_others_could_read_are_replaced(void **state)
{
    (void)state;
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    assert_int_equal(chmod(path(), 0640), 0);
    reopen(NOW);
    assert_int_equal(why.code, PROBER_ERR_DENIED);
    assert_int_equal(unseal(NOW), PROBER_ERR_NOT_FOUND);
    the_file_is_the_owners_alone(NULL);
    reopen(NOW);
    assert_int_equal(why.code, PROBER_OK);
}

static void a_damaged_file_is_replaced(void **state)
{
    (void)state;
    given_text(&files, "tickets", "PMTKEYS1 is not all of it");
    assert_int_equal(chmod(path(), 0600), 0);
    reopen(NOW);
    assert_int_equal(why.code, PROBER_ERR_SYNTAX);
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    reopen(NOW);
    assert_int_equal(why.code, PROBER_OK);
    assert_int_equal(unseal(NOW), PROBER_OK);
}

static void without_a_place_to_keep_them_keys_work_all_the_same(void **state)
{
    (void)state;
    ticket_keys_close(keys);
    assert_int_equal(ticket_keys_open(&keys, given_path(&files, "no/such/place"), NOW, &why),
                     PROBER_OK);
    assert_int_not_equal(why.code, PROBER_OK);
    assert_int_equal(seal(NOW, NOW + HOUR), PROBER_OK);
    assert_int_equal(unseal(NOW), PROBER_OK);
    ticket_keys_close(keys);
    assert_int_equal(ticket_keys_open(&keys, NULL, NOW, &why), PROBER_OK);
    assert_int_equal(why.code, PROBER_OK);
}

static void what_does_not_fit_is_not_sealed(void **state)
{
    (void)state;
    assert_int_equal(ticket_keys_seal(keys, NOW, NOW + HOUR, "", 0, "secret", 6, ticket,
                                      6 + TICKET_OVERHEAD - 1, &ticket_len),
                     PROBER_ERR_RANGE);
    assert_int_equal(
        ticket_keys_seal(keys, NOW, NOW + HOUR, "", 0, "secret", 6, ticket, 3, &ticket_len),
        PROBER_ERR_RANGE);
}

static void what_lies_where_the_ticket_will_is_sealed(void **state)
{
    (void)state;
    memcpy(ticket, "secret", 6);
    assert_int_equal(ticket_keys_seal(keys, NOW, NOW + HOUR, "ctx", 3, ticket, 6, ticket,
                                      sizeof(ticket), &ticket_len),
                     PROBER_OK);
    assert_int_equal(unseal(NOW), PROBER_OK);
}

static int set_up(void **state)
{
    (void)state;
    given_dir(&files);
    return ticket_keys_open(&keys, path(), NOW, &why) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    ticket_keys_close(keys);
    keys = NULL;
    given_dir_ends(&files);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_sealed_is_opened_until_it_expires),
        TEST(a_ticket_lives_for_a_day_at_most),
        TEST(a_ticket_of_a_clock_that_was_ahead_is_refused),
        TEST(a_changed_bit_anywhere_is_noticed),
        TEST(a_ticket_of_another_context_is_refused),
        TEST(tickets_outlive_the_rotation_of_keys_and_restarts),
        TEST(a_key_is_gone_when_none_of_its_tickets_lives),
        TEST(a_key_of_the_future_is_rotated_as_one_of_today),
        TEST(many_rotations_stay_within_bounds),
        TEST(the_file_is_the_owners_alone),
        TEST(keys_that_others_could_read_are_replaced),
        TEST(a_damaged_file_is_replaced),
        TEST(without_a_place_to_keep_them_keys_work_all_the_same),
        TEST(what_does_not_fit_is_not_sealed),
        TEST(what_lies_where_the_ticket_will_is_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
