package storage

import "github.com/cespare/xxhash/v2"

// DefaultTotalGroups is how many groups a cluster has unless its bootstrap said otherwise.
const DefaultTotalGroups = 256

const (
	fnvOffset32 = 2166136261
	fnvPrime32  = 16777619
)

// GroupOf routes a series: FNV-1a 32 over "database:collection:device", modulo the number of groups. The joined
// string is for routing only: two series may share it, but never a storage key.
func GroupOf(database, collection, device string, totalGroups uint32) uint32 {
	h := uint32(fnvOffset32)
	h = fnv(h, database)
	h = (h ^ ':') * fnvPrime32
	h = fnv(h, collection)
	h = (h ^ ':') * fnvPrime32
	h = fnv(h, device)
	return h % totalGroups
}

func fnv(h uint32, s string) uint32 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * fnvPrime32
	}
	return h
}

// Slots is how many slots a window has.
const Slots = 16

// SlotOf spreads the series of a group over the leaves of a window: the top 4 bits of xxhash64 over the series key.
// The routing hash would not do: its low bits are constant within a group.
func SlotOf(key []byte) uint8 { return uint8(xxhash.Sum64(key) >> 60) }
