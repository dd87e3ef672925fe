package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// maxDetailDevices bounds the devices of one leaf that are told apart.
const maxDetailDevices = 256

// LeavesOf is what a view says of leaves, for an Examiner.
func LeavesOf(ctx context.Context, v *storage.View, lineage string, reread bool, only []digest.Leaf) (antientropy.LeafList, error) {
	out := antientropy.LeafList{Place: antientropy.Place{Lineage: lineage, Index: v.Index().Index}, Leaves: []antientropy.LeafStatement{}}
	if only != nil && len(only) == 0 { // an empty list would mean all
		return out, nil
	}
	states, err := v.States(ctx, reread, only)
	if err != nil {
		return out, err
	}
	for i := range states {
		s := &states[i]
		if s.Err == nil && s.Points == 0 {
			continue // it has no such leaf
		}
		l := antientropy.LeafStatement{Entry: s.Entry}
		if s.Err != nil {
			l.Unreadable, l.Why = true, s.Err.Error()
		}
		if reread {
			out.BytesRead += int64(s.Bytes)
		}
		out.Leaves = append(out.Leaves, l)
	}
	return out, nil
}

// deviceSum gathers what one series of a leaf holds.
type deviceSum struct {
	antientropy.DeviceDetail
	sum hash.Hash
}

// DetailOf is whose points a leaf of a view holds, for an Examiner. Of a leaf
// with blocks that cannot be read it gives the series before the first of them,
// and that one.
func DetailOf(ctx context.Context, v *storage.View, leaf digest.Leaf) (antientropy.Detail, error) {
	var d antientropy.Detail
	var last *deviceSum
	var key string
	keep := func() {
		if last != nil {
			last.Sum = hex.EncodeToString(last.sum.Sum(nil)[:8])
			d.Devices = append(d.Devices, last.DeviceDetail)
		}
		last = nil
	}
	err := v.ReadLeaf(ctx, leaf, func(series, block []byte) error {
		if key != string(series) {
			keep()
			key = string(series)
			s, err := storage.ParseKey(series)
			if err != nil {
				return err
			}
			if len(d.Devices) >= maxDetailDevices {
				d.More = true
				return errEnough
			}
			last = &deviceSum{DeviceDetail: antientropy.DeviceDetail{Name: s.Device}, sum: sha256.New()}
		}
		return last.add(block)
	})
	keep()
	bad, damaged := errors.AsType[*storage.DamageError](err)
	switch {
	case errors.Is(err, errEnough):
		return d, nil
	case damaged && !bad.Structure:
		return withBad(ctx, v, leaf, d, bad), nil
	}
	return d, err
}

// withBad adds the device whose record cannot be read, and how far the points
// of the leaf reach: nobody knows better which of them are touched.
func withBad(ctx context.Context, v *storage.View, leaf digest.Leaf, d antientropy.Detail, bad *storage.DamageError) antientropy.Detail {
	device := antientropy.DeviceDetail{Name: bad.Series.Device, Bad: true}
	if l, err := v.LeafDetail(ctx, leaf, maxDetailDevices); err == nil {
		device.From, device.To = l.First, l.Last
		if device.Name == "" && len(l.Series) > 0 {
			device.Name = l.Series[0].Device
		}
	}
	d.More = true // what lies behind it was not read
	d.Devices = append(d.Devices, device)
	return d
}

// errEnough ends the reading of a leaf of which enough is known.
var errEnough = errors.New("enough devices")

func (s *deviceSum) add(block []byte) error {
	h, err := blocks.Peek(block)
	if err != nil {
		return err
	}
	_, _ = s.sum.Write(block) // never fails
	if s.From == 0 && s.To == 0 || h.First < s.From {
		s.From = h.First
	}
	s.To = max(s.To, h.Last)
	return nil
}

// InspectedOf is what an inspection of a view found, in the terms of a check.
func InspectedOf(lineage string, at storage.Position, in *storage.Inspection) antientropy.Inspected {
	out := antientropy.Inspected{
		Place: antientropy.Place{Lineage: lineage, Index: at.Index}, BytesRead: in.Bytes, Records: in.Digests,
		Harmless: in.Harmless,
	}
	for _, b := range in.Bad {
		l := antientropy.LeafStatement{Entry: digest.Entry{Leaf: b.Leaf, LeafDigest: b.Read}, Why: b.Cause.Error()}
		if errors.Is(b.Cause, storage.ErrRecord) { // it can be read: others say whether it is right
			out.Bad = append(out.Bad, l)
			continue
		}
		l.Unreadable = true
		out.Bad = append(out.Bad, l)
	}
	if in.Structure != nil {
		out.Structure = in.Structure.Error()
	}
	return out
}
