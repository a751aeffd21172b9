# ProberMesh: the one entrance. `make help` lists what it does.

VERSION  := 1.0.0-dev
PREFIX   ?= /usr/local
DESTDIR  ?=
SANITIZE ?=
ifeq ($(origin CC),default)
CC := gcc
endif
# The one C++ source is compiled by the sister of the C compiler.
ifeq ($(origin CXX),default)
CXX := $(patsubst gcc%,g++%,$(patsubst clang%,clang++%,$(CC)))
endif

comma   := ,
# Each compiler and sanitizer has a tree of its own, so that no object is built twice in one.
variant := $(filter-out gcc,$(notdir $(firstword $(CC))))$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
O       ?= build$(if $(variant),/$(patsubst -%,%,$(variant)))

cflags_lib := $(shell pkg-config --cflags libprotobuf-c libcjson libcurl libcares sqlite3 zlib yaml-0.1 2>/dev/null)
libs_lib   := -lnng -lprotobuf-c -lcjson -lyaml -lcurl -lcares -lsqlite3 -lcivetweb -lz \
              -lbrotlidec -lmbedtls -lmbedx509 -lmbedcrypto -lssl -lcrypto -lre2 -lstdc++ -lpthread -lm

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wvla -Wformat=2 -Wundef -Werror
hardening := -fPIE -fstack-protector-strong -fstack-clash-protection
ldhardening := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
sanitizer :=
ifeq ($(SANITIZE),address)
sanitizer := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(SANITIZE),thread)
sanitizer := -fsanitize=thread
else ifeq ($(SANITIZE),fuzzer)
sanitizer := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else ifneq ($(SANITIZE),)
$(error SANITIZE is address, thread or fuzzer, not '$(SANITIZE)')
endif
ifeq ($(sanitizer),)
hardening += -D_FORTIFY_SOURCE=2
endif

CFLAGS  ?= -O2 -g
cflags  := -std=gnu11 -D_GNU_SOURCE -DPROBER_VERSION='"$(VERSION)"' -I. -I$(O)/gen $(cflags_lib) \
           -ffile-prefix-map=$(CURDIR)=. -fno-omit-frame-pointer $(warnings) $(hardening) $(sanitizer) $(CFLAGS)
cxxflags := $(filter-out -Wstrict-prototypes -Wmissing-prototypes,-std=gnu++17 $(filter-out -std=gnu11,$(cflags))) \
            -fno-exceptions -fno-rtti
ldflags := $(ldhardening) $(sanitizer) $(LDFLAGS)

objects = $(patsubst %.c,$(O)/%.o,$(filter-out %/main.c %/forwarder.c,$(wildcard $(1)/*.c))) \
          $(patsubst %.cc,$(O)/%.o,$(wildcard $(1)/*.cc))

wire_c := $(O)/gen/probermesh.pb-c.c
libcommon     := $(O)/libcommon.a
libprober     := $(O)/libprober.a
libagentd     := $(O)/libagentd.a
libserverd    := $(O)/libserverd.a
libprobermesh := $(O)/libprobermesh.a
liblab        := $(O)/liblab.a
programs      := $(patsubst %/main.c,$(O)/bin/%,$(wildcard agentd/main.c serverd/main.c probermesh/main.c))

.PHONY: all check check-units-built check-unit check-integration bench fuzz install uninstall clean format help
.SECONDARY:
.DELETE_ON_ERROR:

tools         := $(patsubst %.c,$(O)/%,$(wildcard test/lab/forwarder.c))

all: $(programs) $(tools)

help:
	@echo 'make [all]         build agentd, serverd, probermesh into $(O)/bin'
	@echo 'make check         run every test; SANITIZE=address|thread runs them instrumented'
	@echo 'make bench         run the benchmarks and print their ratios'
	@echo 'make fuzz          run each fuzz target for FUZZ_SECONDS (60)'
	@echo 'make install       install under PREFIX ($(PREFIX)), below DESTDIR'
	@echo 'make uninstall     remove what install put there, but no configuration or state'
	@echo 'make format        run clang-format over the sources'
	@echo 'make clean         remove build/'

# ---- compiling: each source once, dependencies tracked, flags too ----

$(O)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CXX) $(subst ','\'',$(cflags) $(ldflags))' | cmp -s - $@ || \
	    echo '$(CC) $(CXX) $(subst ','\'',$(cflags) $(ldflags))' > $@
FORCE:

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(cflags) -MMD -MP -c -o $@ $<
$(O)/%.o: %.cc $(O)/flags
	@mkdir -p $(@D)
	$(CXX) $(cxxflags) -MMD -MP -c -o $@ $<

$(O)/gen/%.pb-c.c $(O)/gen/%.pb-c.h: common/wire/%.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(O)/gen --proto_path=common/wire $<
$(O)/gen/%.o: $(O)/gen/%.c $(O)/flags
	$(CC) $(cflags) -MMD -MP -c -o $@ $<
$(addprefix $(O)/common/,wire.o wire_join.o wire_task.o): $(O)/gen/probermesh.pb-c.h

$(libcommon): $(call objects,common) $(wire_c:.c=.o)
$(libprober): $(call objects,libprober)
$(libagentd): $(call objects,agentd)
$(libserverd): $(call objects,serverd)
$(libprobermesh): $(call objects,probermesh)
$(liblab): $(call objects,test/lab)
$(O)/%.a:
	@rm -f $@
	$(AR) rcsD $@ $^

$(O)/bin/agentd: $(O)/agentd/main.o $(libagentd) $(libprober) $(libcommon)
$(O)/bin/serverd: $(O)/serverd/main.o $(libserverd) $(libprober) $(libcommon)
$(O)/bin/probermesh: $(O)/probermesh/main.o $(libprobermesh) $(libserverd) $(libagentd) $(libprober) $(libcommon)
$(programs):
	@mkdir -p $(@D)
	$(CC) $(ldflags) -o $@ $^ $(libs_lib)

$(O)/test/lab/forwarder: $(O)/test/lab/forwarder.o $(liblab) $(libcommon)
	$(CC) $(ldflags) -o $@ $^ $(libs_lib)

# ---- tests ----
# A unit test that replaces a module by a fake names it in test/unit/fakes.mk:
#   fakes_test_icmp_engine := fake_icmp_socket

-include test/unit/fakes.mk
.SECONDEXPANSION:
units := $(patsubst %.c,$(O)/%,$(wildcard test/unit/test_*.c))
archives := $(liblab) $(libserverd) $(libagentd) $(libprobermesh) $(libprober) $(libcommon)
$(O)/test/unit/test_%: $(O)/test/unit/test_%.o $(archives) $$(addprefix $(O)/test/unit/fakes/,$$(addsuffix .o,$$(fakes_test_$$*)))
	$(CC) $(ldflags) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs_lib) -lcmocka

replays := $(patsubst test/fuzz/%.c,$(O)/test/fuzz/replay_%,$(wildcard test/fuzz/fuzz_*.c))
$(O)/test/fuzz/replay_%: $(O)/test/fuzz/%.o $(O)/test/fuzz/replay.o $(archives)
	$(CC) $(ldflags) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs_lib)

check: check-unit check-integration

check-units-built: $(units) $(replays)

check-unit: $(units) $(replays)
	test/run-unit $(O)

check-integration: all
	test/run-integration $(O)

# ---- fuzzing: clang, one binary a target ----
FUZZ_SECONDS ?= 60
fuzzers := $(patsubst test/fuzz/%.c,$(O)/test/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
ifeq ($(SANITIZE),fuzzer)
$(O)/test/fuzz/fuzz_%: $(O)/test/fuzz/fuzz_%.o $(archives)
	$(CC) $(ldflags) -fsanitize=fuzzer -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs_lib)
fuzz: $(fuzzers)
	test/fuzz/run $(O) $(FUZZ_SECONDS)
else
fuzz:
	$(MAKE) CC=clang SANITIZE=fuzzer fuzz
endif

# ---- benchmarks ----
benches := $(patsubst %.c,$(O)/%,$(wildcard test/bench/bench_*.c))
$(O)/test/bench/bench_%: $(O)/test/bench/bench_%.o $(archives)
	$(CC) $(ldflags) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs_lib)
bench: all $(benches)
	test/bench/run $(O)

# ---- the rest ----
include deploy/install.mk

format:
	clang-format -i $(wildcard */*.c */*.h test/*/*.c test/*/*.h test/unit/fakes/*.[ch])

clean:
	rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)
