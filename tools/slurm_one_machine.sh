#!/usr/bin/env bash
# A SLURM cluster on this machine, to try cluster profiles without a cluster. NODES=2 starts several nodes, which share
# GPUS; GPU_TYPE names these, PARTITIONS="cpu gpu" the partitions, of which the first is the default; with PREEMPT=REQUEUE
# jobs of the last partition take the place of others.
#
#   eval "$(tools/slurm_one_machine.sh start DIR)"    start it and point this shell at it
#   tools/slurm_one_machine.sh stop DIR               cancel its jobs and stop it
#
# Everything it writes is in DIR: configuration, authentication key, state, logs. It has its own ports, listens only on
# 127.0.0.1, does not touch /etc/slurm, and does not start where a SLURM controller already answers.
#
# Each node claims the size below, whatever the machine has, so that requests of the paper's scale are accepted. Nothing
# enforces them. Its GPUs are devices without a driver: jobs get CUDA_VISIBLE_DEVICES and compute on the CPU.
#
# Any user of the machine may submit to it if all users can reach DIR.
#
# Needed: root, Debian's packages slurmctld, slurmd, slurm-client and munge, python3.
set -euo pipefail
umask 022

nodes=${NODES:-1}
gpus=${GPUS:-8}
gpu_type=${GPU_TYPE:-a100}
partitions=${PARTITIONS:-cpu gpu}
preempt=${PREEMPT:-}
cpus=${CPUS:-64}
memory_mb=${MEMORY_MB:-1000000}

fail() {
  echo "error: $1" >&2
  echo "  what to do: $2" >&2
  exit 3
}

check_machine() {
  [ "$(id -u)" = 0 ] || fail "only root can start a SLURM node" "run this as root"
  for program in slurmctld slurmd scontrol munged python3; do
    command -v "$program" >/dev/null ||
      fail "$program is not installed" "apt-get install slurmctld slurmd slurm-client munge python3"
  done
  if timeout 15 scontrol ping 2>/dev/null | grep -q 'is UP'; then
    fail "a SLURM controller answers on this machine" "use that cluster, or a machine that belongs to none"
  fi
}

make_devices() {
  for number in $(seq 0 $((gpus - 1))); do
    mknod "$directory/devices/gpu$number" c 1 $((100 + number)) ||
      fail "this machine does not let root create devices" "use a virtual machine or a container with CAP_MKNOD"
  done
}

write_configuration() {
  local host controller_port node_ports share node
  host=$(hostname -s)
  share=$((gpus / nodes))
  read -r controller_port node_ports < <(python3 -c '
import socket, sys
probes = [socket.socket() for _ in range(1 + int(sys.argv[1]))]
for probe in probes:
    probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))' "$nodes")
  cat > "$directory/slurm.conf" <<EOF
ClusterName=onemachine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$directory/munge.socket
SlurmUser=root
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool/%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd-%n.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=86400
KillWait=${KILL_WAIT:-30}
OverTimeLimit=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
EOF
  if [ -n "$preempt" ]; then
    printf 'PreemptType=preempt/partition_prio\nPreemptMode=%s\n' "$preempt" >> "$directory/slurm.conf"
  fi
  node=0
  for port in $node_ports; do
    node=$((node + 1))
    printf 'NodeName=n%d NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=%d RealMemory=%d Gres=gpu:%s:%d State=UNKNOWN\n' \
      "$node" "$host" "$port" "$cpus" "$memory_mb" "$gpu_type" "$share" >> "$directory/slurm.conf"
    printf 'NodeName=n%d Name=gpu Type=%s File=%s/devices/gpu[%d-%d]\n' \
      "$node" "$gpu_type" "$directory" "$(((node - 1) * share))" "$((node * share - 1))" >> "$directory/gres.conf"
    mkdir -p "$directory/spool/n$node"
  done
  local default=YES priority
  for partition in $partitions; do
    priority=1
    [ "$partition" != "${partitions##* }" ] || priority=2
    echo "PartitionName=$partition Nodes=ALL Default=$default MaxTime=INFINITE PriorityTier=$priority State=UP" >> "$directory/slurm.conf"
    default=NO
  done
  # Snakemake removes every SLURM_* variable, SLURM_CONF among them, before it calls srun inside a job.
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$directory/slurm.conf" "$(command -v srun)" > "$directory/bin/srun"
  chmod +x "$directory/bin/srun"
}

start_munge() {
  (umask 077 && head -c 128 /dev/urandom > "$directory/munge.key")
  # --force: the folders above DIR need not be those of a system service.
  munged --force --key-file "$directory/munge.key" --socket "$directory/munge.socket" --pid-file "$directory/munged.pid" \
    --log-file "$directory/munged.log" --seed-file "$directory/munged.seed" >&2
}

start() {
  check_machine
  [ ! -e "$directory/slurm.conf" ] || fail "$directory holds a cluster already" "stop it, or name another directory"
  mkdir -p "$directory"/{bin,devices,spool}
  mkdir -m 700 "$directory/state"
  trap end_daemons EXIT
  make_devices
  write_configuration
  start_munge
  export SLURM_CONF="$directory/slurm.conf"
  slurmctld >&2
  for node in $(seq "$nodes"); do slurmd -N "n$node" >&2; done
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --Node --partition "${partitions%% *}" --format %T 2>/dev/null | grep -c idle)" = "$nodes" ]; then
      trap - EXIT
      printf 'export SLURM_CONF=%q PATH=%q:"$PATH"\n' "$SLURM_CONF" "$directory/bin"
      return
    fi
    sleep 0.5
  done
  fail "the nodes did not come up within 30 s" "read slurmctld.log, slurmd-*.log and munged.log in $directory"
}

end_process() {
  local pid
  pid=$(cat "$directory/$1.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

end_daemons() {
  for daemon in slurmctld $(cd "$directory" && ls slurmd-*.pid 2>/dev/null | sed 's/\.pid$//') munged; do end_process "$daemon"; done
  rm -f "$directory/slurm.conf"
}

stop() {
  export SLURM_CONF="$directory/slurm.conf"
  [ -e "$SLURM_CONF" ] || fail "$directory holds no cluster" "name the directory it was started with"
  if kill -0 "$(cat "$directory/slurmctld.pid")" 2>/dev/null; then
    squeue --noheader --format %i | xargs --no-run-if-empty scancel
    for _ in $(seq 100); do
      squeue --noheader | grep -q . || break
      sleep 0.5
    done
  fi
  end_daemons
}

command=${1:-}
[ -n "${2:-}" ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
directory=$(realpath -m "$2")
case "$command" in
  start | stop) "$command" ;;
  *) fail "unknown command: $command" "start DIR or stop DIR" ;;
esac
