//go:build race

package clustertest

// maxClusters: the race detector keeps most of a megabyte for each goroutine, and a
// cluster of 256 groups has over ten thousand: 5 to 8 GB, which Go counts nowhere.
const maxClusters = 1

// totalGroups of a cluster: a quarter of those of a real one, for time and memory.
const totalGroups = 64

// raceFactor is by how much a test may take longer than its limit.
const raceFactor = 3
