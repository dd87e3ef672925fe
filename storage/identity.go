package storage

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Identity is whose data the file says that it holds: more than Options.Identity where that left something open.
func (s *Shard) Identity() (id Identity, err error) {
	err = s.file.view("read identity", func(tx *bolt.Tx) error {
		if id, _, err = getIdentity(s.file.bucket(tx, bucketMeta)); err != nil {
			return s.file.damage(err)
		}
		return nil
	})
	if err != nil {
		return Identity{}, fmt.Errorf("identity of shard %d: %w", s.o.Identity.Group, err)
	}
	return id, nil
}
