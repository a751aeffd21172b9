# Where things go on a host. Included by the Makefile.

BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share/probermesh
SYSCONFDIR ?= /etc
UNITDIR    ?= /lib/systemd/system

installed_configs := agentd.yaml serverd.yaml probermesh.yaml
installed_units   := probermesh-agent.service probermesh-server.service
man_pages         := $(notdir $(wildcard docs/man/*.[1-8]))

# Existing configuration is never overwritten: the new one is put beside it, as NAME.new.
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SYSCONFDIR)/probermesh $(DESTDIR)$(UNITDIR) \
	    $(DESTDIR)$(DATADIR)/dashboards
	install -m 0755 $(programs) $(DESTDIR)$(BINDIR)
	for page in $(man_pages); do \
	    install -D -m 0644 docs/man/$$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page || exit 1; done
	for config in $(installed_configs); do \
	    to=$(DESTDIR)$(SYSCONFDIR)/probermesh/$$config; \
	    if [ -e $$to ] && ! cmp -s etc/$$config $$to; then to=$$to.new; fi; \
	    install -m 0644 etc/$$config $$to || exit 1; done
	for unit in $(installed_units); do \
	    sed -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' deploy/systemd/$$unit \
	        > $(DESTDIR)$(UNITDIR)/$$unit && chmod 0644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	install -m 0644 dashboards/*.json $(DESTDIR)$(DATADIR)/dashboards
	install -m 0644 deploy/prometheus/probermesh-scrape.yml $(DESTDIR)$(DATADIR)
	install -m 0644 deploy/nginx/probermesh.conf $(DESTDIR)$(DATADIR)/nginx-probermesh.conf

# Configuration in SYSCONFDIR and state in /var/lib/probermesh stay.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(programs)))
	for page in $(man_pages); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page; done
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(installed_units))
	rm -rf $(DESTDIR)$(DATADIR)
