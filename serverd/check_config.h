/*
 * check_config - `serverd check-config FILE [-dump]`: tells what is wrong with a file.
 */
#ifndef SERVERD_CHECK_CONFIG_H
#define SERVERD_CHECK_CONFIG_H

/* argv[argc]: the words after "check-config". FILE is a configuration of serverd, or a probe file
 * (it has the key prober_configs). With -dump the configuration is printed with every default.
 * Returns the exit status: 0 nothing wrong, 1 faults (on stderr, file:line:key), 2 usage. */
int check_config(int argc, char *const *argv);

#endif
