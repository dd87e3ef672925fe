package storage

import (
	"errors"
	"io"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Evidence copies the records of a leaf as they lie in the file, bad ones too, in the layout "Evidence" of format.go. n is
// how many bytes were written to w. A leaf without records gives a head without records.
func (v *View) Evidence(leaf digest.Leaf, w io.Writer) (n int64, err error) {
	return 0, errors.ErrUnsupported
}

// Evidence is View.Evidence of a file that no node has open.
func (d *Dump) Evidence(leaf digest.Leaf, w io.Writer) (n int64, err error) {
	return 0, errors.ErrUnsupported
}
