#!/bin/sh
# Installs and starts a ProberMesh agent on this host, in one step.
#
#   probermesh_agent_deploy.sh REGION [SERVER]
#
#   REGION   this host's region (agents of one region are merged), e.g. ali-cn-shanghai
#   SERVER   the server's link address, host:port (default: $PROBERMESH_SERVER or localhost:6000)
#
# Environment:
#   NETWORK_TYPE   public (default) or intranet: which address the others ping this host at
#   INTERVAL       the probe interval (default 15s)
#   JOIN           a file with a token of `serverd join-token`, or - for standard input: the agent joins, and
#                  its link is encrypted and known at both ends
#   AGENTD         the agentd program to install (default: beside this script, in build/bin, or PATH)
#
# Under systemd it enables probermesh-agent.service; where systemd does not run and supervisor is
# installed, it writes a supervisor program. Run again, it replaces program and settings and restarts.
set -eu

fail() { echo "probermesh_agent_deploy: $*" >&2; exit 1; }
usage() { sed -n '2,18s/^# \{0,1\}//p' "$0"; }

case "${1:-}" in
-h | --help) usage; exit 0 ;;
'') usage >&2; exit 2 ;;
esac
[ $# -le 2 ] || { usage >&2; exit 2; }

region=$1
server=${2:-${PROBERMESH_SERVER:-localhost:6000}}
network=${NETWORK_TYPE:-public}
interval=${INTERVAL:-15s}
join=${JOIN:-}
root=${DESTDIR:-}
here=$(cd "$(dirname "$0")" && pwd)

case $region in *[[:cntrl:]\"\\%]* | '') fail "region '$region': no quotes, backslashes, percent signs or control characters, please" ;; esac
case $server in *[!A-Za-z0-9._:\[\]-]* | '') fail "server '$server': expected host:port" ;; *:[0-9]*) ;; *) server=$server:6000 ;; esac
case $network in public | intranet) ;; *) fail "NETWORK_TYPE '$network': expected public or intranet" ;; esac
case $interval in *[!0-9a-z.]* | '') fail "INTERVAL '$interval': expected a duration such as 15s" ;; esac
token=
if [ -n "$join" ]; then
    if [ "$join" = - ]; then join=/dev/stdin; fi
    token=$(tr -d ' \t\r\n' <"$join") || fail "JOIN: cannot read '$join'"
    case $token in pmj1*) ;; *) fail "JOIN: that is no token of serverd join-token" ;; esac
    case $token in *[!A-Za-z0-9]*) fail "JOIN: that is no token of serverd join-token" ;; esac
fi
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run it as root (it installs a program and a service)"

agentd=${AGENTD:-}
if [ -z "$agentd" ]; then
    for candidate in "$here/agentd" "$here/../build/bin/agentd" "$(command -v agentd || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then agentd=$candidate; break; fi
    done
fi
[ -n "$agentd" ] && [ -x "$agentd" ] || fail "no agentd program found: build it ('make') or name it by AGENTD=PATH"
"$agentd" -v >/dev/null 2>&1 || fail "$agentd does not run on this host ('$agentd -v' fails); missing libraries: $(ldd "$agentd" 2>/dev/null | sed -n 's/ => not found//p' | tr -d '\t' | tr '\n' ' ')"

put() { # put FILE MODE: standard input becomes FILE at once
    mkdir -p "$(dirname "$root$1")"
    cat >"$root$1.tmp.$$" && chmod "$2" "$root$1.tmp.$$" && mv "$root$1.tmp.$$" "$root$1"
}

put /usr/local/bin/agentd 0755 <"$agentd"
put /etc/probermesh/agentd.yaml 0644 <<EOF
# Written by probermesh_agent_deploy.sh.
agent.region: "$region"
agent.rpc.report.addr: "$server"
agent.icmp.network-type: $network
agent.probe.interval: $interval
EOF
# The service manager reads it as root, before the agent has its own user.
if [ -n "$token" ]; then
    (umask 077 && echo "PROBERMESH_AGENT_JOIN=$token" | put /etc/probermesh/join.env 0600)
fi
"$root/usr/local/bin/agentd" check-config -config "$root/etc/probermesh/agentd.yaml" ||
    fail "the settings above are not accepted: see the message"

if [ -n "$root" ]; then
    echo "installed under $root; nothing started"
elif [ -d /run/systemd/system ]; then
    sed -e 's|@BINDIR@|/usr/local/bin|g' -e 's|@SYSCONFDIR@|/etc|g' \
        "$here/systemd/probermesh-agent.service" | put /etc/systemd/system/probermesh-agent.service 0644
    systemctl daemon-reload
    systemctl enable probermesh-agent.service
    systemctl restart probermesh-agent.service
    systemctl --no-pager --lines=3 status probermesh-agent.service
elif command -v supervisorctl >/dev/null 2>&1; then
    directory=/etc/supervisor/conf.d suffix=conf
    if [ -d /etc/supervisord.d ]; then directory=/etc/supervisord.d suffix=ini; fi
    put "$directory/probermesh.$suffix" 0644 <<EOF
[program:probermesh]
command=/usr/local/bin/agentd -config /etc/probermesh/agentd.yaml
directory=/var/lib/probermesh
autostart=true
autorestart=true
startsecs=10
startretries=5
user=root
redirect_stderr=true
EOF
    if [ -n "$token" ]; then # supervisor runs the agent as root, and reads no files of variables
        (umask 077 && echo "$token" | put /etc/probermesh/join-token 0600)
        sed -i 's|^command=.*|& -agent.join @/etc/probermesh/join-token|' "$directory/probermesh.$suffix"
    fi
    mkdir -p -m 0755 /var/lib/probermesh
    supervisorctl reread
    supervisorctl update
    supervisorctl restart probermesh || supervisorctl start probermesh
    supervisorctl status probermesh
else
    fail "neither systemd nor supervisor runs here; start it yourself: agentd -config /etc/probermesh/agentd.yaml"
fi
echo "agent of region '$region' reports to $server"
