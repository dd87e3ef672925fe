package storage

import "github.com/flotilla-db/flotilla/storage/digest"

// Seal makes the stage a complete shard file, in its place: leaves that the manifest lacks go, identity, state and digests
// are set. ErrIncomplete when leaves of the manifest are not in the stage. Doing it again with the same arguments changes
// nothing, and a sealed stage can be opened, filled and sealed again. Close it before the file is renamed.
func (s *Stage) Seal(identity Identity, state []byte, manifest []digest.Entry) error {
	return ErrStaging
}
