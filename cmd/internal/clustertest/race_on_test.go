//go:build race

package clustertest

// slower divides what takes long: the race detector costs a factor of about ten.
const slower = 8
