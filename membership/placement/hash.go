package placement

import "github.com/cespare/xxhash/v2"

// groupSeed keeps the hash of group 0 away from 0.
const groupSeed uint64 = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64: every input bit changes every output
// bit with probability near one half. Plain FNV over names that differ in
// one byte gave 128/64/64 primaries on three nodes.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func hashName(name string) uint64 { return mix(xxhash.Sum64String(name)) }

func hashGroup(group uint32) uint64 { return mix(uint64(group) + groupSeed) }

// score ranks a node for a group: the highest wins.
func score(nameHash, groupHash uint64) uint64 { return mix(nameHash ^ groupHash) }

// vnodeHash is the place of a node's i-th virtual node on the ring.
func vnodeHash(nameHash uint64, i int) uint64 { return mix(nameHash + uint64(i+1)*groupSeed) }
