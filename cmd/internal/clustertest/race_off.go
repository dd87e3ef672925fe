//go:build !race

package clustertest

// maxClusters bounds the clusters that run at the same time: each takes some
// hundred megabytes.
const maxClusters = 4
