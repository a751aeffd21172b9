# What the HTTP benchmarks share: sourced by them, with the build directory as $1. Starts nginx on
# loopback, with certificates made for it, in a directory that goes away at the end.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=$(mktemp -d)
started=()
end_http() {
    kill "${started[@]}" 2>/dev/null
    wait "${started[@]}" 2>/dev/null
    rm -rf "$dir"
}
trap end_http EXIT

# free_ports COUNT: port numbers that nobody listens at, below those that connections take
free_ports() {
    python3 - "$1" <<'PY'
import random, socket, sys
ports = []
while len(ports) < int(sys.argv[1]):
    port = random.randrange(10000, 30000)
    try:
        socket.create_server(('127.0.0.1', port)).close()
    except OSError:
        continue
    ports.append(port)
print(*ports)
PY
}
# await PORT: until somebody listens there
await() {
    for _ in $(seq 100); do
        (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    echo "nobody listens at port $1" >&2
    exit 1
}
# certify NAME ISSUER EXTENSIONS: a P-256 key and certificate; an ISSUER of - signs itself
certify() {
    local how=(-CA "$dir/$2.pem" -CAkey "$dir/$2.key" -CAcreateserial)

    [ "$2" != - ] || how=(-signkey "$dir/$1.key")
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=bench $1" \
        -keyout "$dir/$1.key" -out "$dir/$1.csr"
    openssl x509 -req -in "$dir/$1.csr" "${how[@]}" -days 30 -extfile <(echo "$3") -out "$dir/$1.pem"
} 2>/dev/null
# As most sites have it: the server sends its own certificate and that of an intermediate authority.
make_certificates() {
    certify ca - "basicConstraints=critical,CA:true"
    certify intermediate ca "basicConstraints=critical,CA:true"
    certify leaf intermediate "subjectAltName=IP:127.0.0.1"
    cat "$dir/leaf.pem" "$dir/intermediate.pem" >"$dir/chain.pem"
}

# start_nginx [PRIORITY]: sets $plain and $https, URLs of servers that answer at once, of which those below /stuck
# never answer; with a PRIORITY it is a real-time process. $https speaks HTTP/2 too. What is in $dir/files is below /files.
start_nginx() {
    local ports

    make_certificates
    mkdir "$dir/files"
    read -r -a ports <<<"$(free_ports 2)"
    plain=http://127.0.0.1:${ports[0]} https=https://127.0.0.1:${ports[1]}
    echo "bench:{PLAIN}x" >"$dir/users"
    cat >"$dir/nginx.conf" <<CONF
daemon off;
user root;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log crit;
events { worker_connections 16384; }
worker_rlimit_nofile 20000;
http {
    access_log off;
    client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
    uwsgi_temp_path $dir; scgi_temp_path $dir;
    default_type text/plain;
    sendfile on;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate $dir/chain.pem;
    ssl_certificate_key $dir/leaf.key;
    server {
        listen 127.0.0.1:${ports[0]} backlog=4096;
        listen 127.0.0.1:${ports[1]} ssl http2 backlog=4096;
        location / { return 200 "good day\n"; }
        location /files/ { root $dir; }
        location /stuck { auth_delay 1h; auth_basic bench; auth_basic_user_file $dir/users; }
    }
}
CONF
    ${1:+chrt -f "$1"} nginx -e "$dir/error.log" -c "$dir/nginx.conf" &
    started+=($!)
    await "${ports[0]}"
}
# start_blackbox: sets $blackbox, its port, and $blackbox_pid
start_blackbox() {
    blackbox=$(free_ports 1)
    cat >"$dir/blackbox.yml" <<CONF
modules:
  bench:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      tls_config: { ca_file: $dir/ca.pem }
CONF
    prometheus-blackbox-exporter --config.file="$dir/blackbox.yml" --log.level=error \
        --web.listen-address="127.0.0.1:$blackbox" &
    blackbox_pid=$!
    started+=($!)
    await "$blackbox"
}
# The http block that says the same to us, as JSON.
http_block() {
    python3 - "$dir/ca.pem" "$@" <<'PY'
import json, sys
block = {'preferred_ip_protocol': 'ip4', 'tls_config': {'ca': open(sys.argv[1]).read()}}
print(json.dumps({**block, **json.loads(sys.argv[2] if len(sys.argv) > 2 else '{}')}))
PY
}
