// Package crashtest kills, freezes, starves and unplugs real flotilla processes, and checks that they keep their word.
//
// It holds tests only. Their nouns: a rig is a fleet of processes with a load of simulated devices and the ledger of
// what was acknowledged to them; a round is one disaster, after which everything that was ever acknowledged is read
// back. The binary is built once, from this source. Disks that fail are ext4 images behind loop devices, small tmpfs
// mounts, and system calls that strace makes fail: what a machine cannot do is skipped with the reason.
//
// SOAK=n makes n times as many rounds (make soak).
package crashtest
