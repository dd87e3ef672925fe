//go:build !race

package clustertest

// maxClusters bounds the clusters that run at the same time: each takes some
// hundred megabytes.
const maxClusters = 4

// totalGroups of a cluster, as a real one has.
const totalGroups = 256

// raceFactor is by how much a test may take longer than its limit.
const raceFactor = 1
