package storage

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Assembly is a replica in the making: the leaves of a manifest, each from the stage if it has that content, else from
// the base.
type Assembly struct {
	Stage    *Stage
	Base     *View // nil: none
	Manifest []digest.Entry
}

// Missing lists what neither stage nor base has with that content, trusting stored digests. Leaves of the base that cannot
// be read, or that Damaged has found to be bad, count as missing.
func (a Assembly) Missing(ctx context.Context) ([]digest.Entry, error) { return nil, ErrStaging }

// Damaged lists the leaves whose bytes on disk are not what the manifest says. Drop them from the stage; those of the base
// are missing from now on.
func (a Assembly) Damaged(ctx context.Context) ([]digest.Leaf, error) { return nil, ErrStaging }
