package storage

import (
	"fmt"
	"sync"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// CheckFrames reports, wrapping ErrBadCommand, whether Apply would stop in an entry because of a frame that is cut short,
// a kind that this version does not know, or a body that is not whole. It does not walk over the rows of puts, which
// takes long: the writer of this process makes them well, and CheckWrite is for those of others. Nor can it tell what
// depends on the shard's state: whether there is room for a lease, and whether a format version is below the one in force.
func CheckFrames(data []byte) error {
	for len(data) > 0 {
		c, rest, err := cutFrame(data)
		if err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// check reads the command's body as Apply does, but for the rows of a put.
func (c Command) check() (err error) {
	switch c.Kind {
	case KindPut, KindNoop:
	case KindDelete:
		_, err = c.Delete()
	case KindRetain:
		_, err = c.Retain()
	case KindCut:
		_, err = c.Cut()
	case KindLease:
		_, err = c.Lease()
	case KindEnd:
		_, err = c.End()
	case KindFormat:
		var v uint8
		if v, err = c.FormatVersion(); err == nil && v > blocks.FormatVersion {
			err = c.bad(fmt.Errorf("block format %d, known %d", v, blocks.FormatVersion))
		}
	default:
		err = c.bad(nil)
	}
	return err
}

// checkers lends readers to CheckWrite: one knows the schemas that it has met.
var checkers = sync.Pool{New: func() any { return &putReader{schemas: &schemaTable{}} }}

// CheckWrite reports, wrapping ErrBadCommand, whether data is something else than what nodes forward to a leader: puts
// and deletes that Apply takes to the last row; of a check, what prolongs and what ends its cut; and nothing, for a
// replica that learns what is committed with the next entry. About 0.1 us a row.
func CheckWrite(data []byte) error {
	r := checkers.Get().(*putReader)
	defer r.release()
	for len(data) > 0 {
		c, rest, err := cutFrame(data)
		if err != nil {
			return err
		}
		switch c.Kind {
		case KindPut:
			r.reset(c.Body)
			for more := true; more && err == nil; {
				more, err = r.next()
			}
		case KindDelete, KindLease, KindEnd, KindNoop:
			err = c.check()
		default:
			err = c.bad(fmt.Errorf("not what a node forwards"))
		}
		if err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// release lets go of the bytes that were read, and gives the reader back.
func (r *putReader) release() {
	clear(r.strings[:cap(r.strings)])
	r.rest = nil
	checkers.Put(r)
}
