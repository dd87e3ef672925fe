package storage

import "github.com/flotilla-db/flotilla/storage/digest"

// MaxInPlaceBytes bounds the leaf bytes that ApplyStage takes: its one transaction lies in memory until it commits. For
// more, copy the equal leaves into the stage (CopyFrom) and Seal it.
const MaxInPlaceBytes = 16 << 20

// ApplyStage brings a closed shard to the manifest in one transaction: leaves of the stage in, leaves that the manifest
// lacks out, then identity and state. Doing it again changes nothing. ErrIncomplete, before anything is changed, when
// stage and shard together do not have the manifest; ErrTooLarge beyond MaxInPlaceBytes. Any error from the commit itself
// is an unknown outcome: do it again.
func ApplyStage(shardPath string, s *Stage, identity Identity, state []byte, manifest []digest.Entry) error {
	return ErrStaging
}
