package storage

import "context"
import "github.com/flotilla-db/flotilla/storage/digest"

// State is what the shard holds at the view beside points: applied, configuration and its index, leases, block format.
// It is what another replica sets when it takes over the leaves.
func (v *View) State() ([]byte, error) { return nil, ErrStaging }

// ParseState checks what State gave, and says what it stands for.
func ParseState(b []byte) (Durable, error) { return Durable{}, ErrStaging }

// LeafBytes are the canonical bytes of a leaf (package digest). They take their own size of memory.
func (v *View) LeafBytes(ctx context.Context, leaf digest.Leaf) ([]byte, error) { return nil, ErrStaging }
