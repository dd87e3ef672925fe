//go:build !flotilla_nosync

package raftlog

// withoutSync is false in every build that is meant for data.
const withoutSync = false
