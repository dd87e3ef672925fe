//go:build !race

package clustertest

const slower = 1
