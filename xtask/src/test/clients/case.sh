# What the scripts of the engines have in common: `run_cases FILE` runs every function of the file whose name begins with
# `case_`, in order, each in a shell of its own with a deadline, by the command RUN if there is one, and prints libtest's
# lines.
IMAGE=localhost/alpine:latest
DEADLINE=${DEADLINE:-300}
# A command that stays until it is told to go.
WAIT='trap "exit 0" TERM; while :; do sleep 1; done'

# podman's way of running, starting and removing; another engine's script has its own.
run() { podman run --rm --network none "$@"; }
# start NAME [OPTION...] -- COMMAND...: a container that stays until the case ends.
start() {
	name=$1
	shift
	podman run -d --network none --name "$name" "$@" >/dev/null || fail "no container $name"
}
gone() { podman rm -f -t 0 "$@" >/dev/null || fail "cannot remove $*"; }

run_cases() {
	file=$1
	name=${file##*/}
	name=${name%.sh}
	for one in $(sed -n 's/^\(case_[a-z0-9_]*\)() {.*/\1/p' "$file"); do
		case $one in *"${ONLY:-}"*) ;; *) continue ;; esac
		status=0
		timeout -k 5 "$DEADLINE" ${RUN:-} sh "$file" "$one" >/tmp/said 2>&1 </dev/null || status=$?
		if [ $status = 0 ]; then
			passed=$((passed + 1))
			echo "test clients::$name::${one#case_} ... ok"
		else
			failed=$((failed + 1))
			echo "test clients::$name::${one#case_} ... FAILED"
			[ $status != 124 ] || echo "    not within $DEADLINE s"
			sed 's/^/    /' /tmp/said | tail -n 25
		fi
	done
}

# What was found, and that it is not what was expected.
fail() {
	echo "$*" >&2
	exit 1
}

# says TEXT COMMAND...: the command ends well and prints just the text.
says() {
	wanted=$1
	shift
	got=$("$@") || fail "$* ended with $?, having said: $got"
	[ "$got" = "$wanted" ] || fail "$* said '$got', not '$wanted'"
}

# holds PATTERN COMMAND...: a line of what the command prints matches, however it ends.
holds() {
	pattern=$1
	shift
	got=$("$@" 2>&1) || :
	printf '%s\n' "$got" | grep -qE -- "$pattern" || fail "$* said '$got', nothing like '$pattern'"
}

# ends STATUS COMMAND...
ends() {
	wanted=$1
	shift
	status=0
	"$@" || status=$?
	[ "$status" = "$wanted" ] || fail "$* ended with $status, not $wanted"
}

# soon COMMAND...: it succeeds within some seconds.
soon() {
	tries=0
	until ("$@") >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || fail "not within the time: $*"
		sleep 0.3
	done
}
