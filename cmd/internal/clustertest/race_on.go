//go:build race

package clustertest

// maxClusters: the race detector keeps most of a megabyte for each goroutine, and a
// cluster of 256 groups has over ten thousand: 5 to 8 GB, which Go counts nowhere.
const maxClusters = 1

// raceFactor is by how much a test may take longer than its limit.
const raceFactor = 3
