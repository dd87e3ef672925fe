package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// DumpedRecord is one record of a log file, as `flotilla dump log` prints it.
type DumpedRecord struct {
	Segment    uint64
	Offset     int64
	Sequence   uint64 // of its batch
	Kind       string // append, truncate, reset, moved append, moved reset; batch: one without records
	Group      uint32
	Life       uint32
	Index      uint64 // of an append
	Term       uint64
	Type       string // raft's log type
	AppendedAt time.Time
	Data       []byte // valid during the call
	Detail     string // what a truncate or reset says
	Err        error  // the record or batch cannot be read
}

var errDamagedBatch = errors.New("no intact batch here")

// DumpSegment reads one segment file, without changing it, and calls yield for each record in order. What
// lies between damaged and intact batches is a record with Err; what follows the last batch is not told.
func DumpSegment(path string, yield func(DumpedRecord) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("dump log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("dump log: %w", err)
	}
	header := make([]byte, segmentHeaderSize)
	n, _ := f.ReadAt(header, 0)
	number, ok, err := parseSegmentHeader(header[:n])
	if err != nil {
		return fmt.Errorf("dump %s: %w", path, err)
	}
	if named, _, isSegment := parseSegmentName(filepath.Base(path)); !ok && isSegment {
		number = named // the CRCs of batches vouch for it
	} else if !ok {
		return fmt.Errorf("dump %s: %w: not a log segment", path, ErrFormat)
	}
	s := &scanner{segment: &segment{number: number, file: readOnly{f}, size: info.Size()}}
	for off := int64(segmentHeaderSize); ; {
		b, h, ok, err := s.batch(off)
		if err != nil {
			return err
		}
		if ok {
			if err := dumpBatch(s, off, b, h, yield); err != nil {
				return err
			}
			off += int64(h.length)
			continue
		}
		next, found, err := s.nextBatch(off)
		if err != nil || !found {
			return err
		}
		if err := yield(DumpedRecord{Segment: number, Offset: off, Kind: "batch", Err: errDamagedBatch}); err != nil {
			return err
		}
		off = next
	}
}

// readOnly is a File that cannot be written.
type readOnly struct{ *os.File }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (readOnly) Sync() error                        { return nil }

func dumpBatch(s *scanner, off int64, b []byte, h batchHeader, yield func(DumpedRecord) error) error {
	if h.records == 0 {
		return yield(DumpedRecord{Segment: s.number, Offset: off, Sequence: h.sequence, Kind: "batch"})
	}
	return eachRecord(b, h, func(e dirEntry, at int) error {
		d := DumpedRecord{
			Segment: s.number, Offset: off + int64(at), Sequence: h.sequence, Kind: e.kind.String(), Group: e.group, Life: e.life,
		}
		if e.moved {
			d.Kind = "moved " + d.Kind
		}
		switch e.kind {
		case kindTruncate:
			d.Detail = fmt.Sprintf("keeps from %d", e.a)
			if e.b > 0 {
				d.Detail += fmt.Sprintf(" to before %d", e.b)
			}
		case kindReset:
			d.Detail = fmt.Sprintf("generation %d, next %d", e.a, e.b)
		default:
			d.Index = e.a
		}
		record := b[at : at+e.size]
		if !recordIntact(record, s.number, d.Offset) {
			d.Err = errChecksum
			return yield(d)
		}
		rec, err := parseRecord(record)
		if d.Err = err; err == nil && e.kind == kindAppend {
			d.fill(&rec)
		}
		return yield(d)
	})
}

func (d *DumpedRecord) fill(rec *record) {
	var log raft.Log
	rec.entry(&log)
	d.Term, d.Type, d.AppendedAt, d.Data = log.Term, log.Type.String(), log.AppendedAt, log.Data
}

// DumpVotes reads a vote file, without changing it. err is per record.
func DumpVotes(path string, yield func(r VoteRecord, err error) error) error {
	return guard("dump votes "+path, func() error {
		db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: votesOpenTimeout})
		if err != nil {
			return fmt.Errorf("dump votes %s: %w", path, inUse(err))
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			conf := tx.Bucket(bucketConf)
			if conf == nil {
				return fmt.Errorf("dump votes %s: %w", path, ErrFormat)
			}
			return conf.ForEach(func(k, b []byte) error {
				group, ok := parseVoteKey(k)
				if !ok {
					return nil
				}
				r, err := decodeVote(group, b)
				r.Group = group
				return yield(r, err)
			})
		})
	})
}

// inUse names what bbolt calls a timeout.
func inUse(err error) error {
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("another process has it open; stop its node, or dump a copy of the file: %w", err)
	}
	return err
}

// mustHoldLog refuses another bbolt file: raft-boltdb would panic on it.
func mustHoldLog(path string) error {
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: votesOpenTimeout})
	if err != nil {
		return fmt.Errorf("dump log %s: %w", path, inUse(err))
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketLogs) == nil {
			return fmt.Errorf("dump log %s: %w: no log of Raft", path, ErrFormat)
		}
		return nil
	})
}

// DumpBolt reads the log of a raft.db file, without changing it: those of the boltdb engine, and that of the
// meta group, whose entries carry no checksum of ours if an older version wrote them (sealed false).
func DumpBolt(path string, sealed bool, yield func(DumpedRecord) error) error {
	return guard("dump log "+path, func() error {
		if err := mustHoldLog(path); err != nil {
			return err
		}
		store, err := raftboltdb.New(raftboltdb.Options{
			Path: path, BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: votesOpenTimeout},
		})
		if err != nil {
			return fmt.Errorf("dump log %s: %w", path, err)
		}
		defer store.Close()
		first, err := store.FirstIndex()
		if err != nil {
			return err
		}
		last, err := store.LastIndex()
		if err != nil {
			return err
		}
		for i := first; i != 0 && i <= last; i++ {
			var log raft.Log
			d := DumpedRecord{Kind: "append", Index: i}
			if d.Err = store.GetLog(i, &log); d.Err == nil && (sealed || len(log.Extensions) > 0) && !unsealBolt(i, &log) {
				d.Err = errChecksum
			}
			d.Term, d.Type, d.AppendedAt, d.Data = log.Term, log.Type.String(), log.AppendedAt, log.Data
			if err := yield(d); err != nil {
				return err
			}
		}
		return nil
	})
}
