/*
 * fake_routes - a routing table and interfaces that the test makes up, in place of agentd/routes.
 */
#ifndef TEST_FAKES_FAKE_ROUTES_H
#define TEST_FAKES_FAKE_ROUTES_H

/* Forgets all. */
void fake_routes_reset(void);
/* The source address toward `to`; "*4" and "*6" stand for the default routes. */
void fake_routes_add(const char *to, const char *from);
void fake_routes_add_interface(const char *address);

#endif
