package antientropy

import (
	"context"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// touched is what points a charge is about.
type touched struct {
	from, to *int64
	devices  []string
	more     bool
}

// describe asks which devices and times are touched, for the first charges.
func (c *check) describe(ctx context.Context) {
	left := maxDetails
	for _, b := range c.blames {
		for i := range b.charges {
			on := &b.charges[i]
			if on.leaf == nil || on.kind != Data || left == 0 || ctx.Err() != nil {
				continue
			}
			left--
			on.touched = compareDetails(c.detail(ctx, b.Node, *on.leaf), c.other(ctx, b.Node, on))
		}
	}
}

// other is the leaf as somebody has it who says otherwise.
func (c *check) other(ctx context.Context, node string, on *charge) *Detail {
	from := slices.DeleteFunc(slices.Clone(on.good), func(n string) bool { return n == node })
	if on.verdict == Disputed {
		from = slices.DeleteFunc(slices.Clone(c.trial.ruling[*on.leaf].Disputed), func(n string) bool {
			return n == node || c.says(n, *on.leaf) == c.says(node, *on.leaf)
		})
	}
	for _, n := range from {
		if d := c.detail(ctx, n, *on.leaf); d != nil {
			return d
		}
	}
	return nil
}

func (c *check) says(node string, leaf digest.Leaf) digest.LeafDigest {
	i := slices.IndexFunc(c.list, func(h *heard) bool { return h.Node == node })
	return c.trial.read[i][leaf].LeafDigest
}

func (c *check) detail(ctx context.Context, node string, leaf digest.Leaf) *Detail {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	d, err := c.cluster().Detail(bounded, c.group, c.cut, node, leaf)
	if err != nil {
		c.logger.Debug("the devices of a leaf are not known", "node", node, "leaf", leaf, "error", err)
		return nil
	}
	return &d
}

// compareDetails says which devices differ between a replica that is blamed and one that says otherwise. If no
// difference is seen, or one of them cannot tell, all of them may.
func compareDetails(blamed, other *Detail) (t touched) {
	if blamed == nil && other == nil {
		return t
	}
	if blamed == nil || other == nil {
		d := blamed
		if d == nil {
			d = other
		}
		t.add(d.Devices...)
		t.more = t.more || d.More
		return t
	}
	has := func(d *Detail, name string) (DeviceDetail, bool) {
		i := slices.IndexFunc(d.Devices, func(x DeviceDetail) bool { return x.Name == name })
		if i < 0 {
			return DeviceDetail{}, false
		}
		return d.Devices[i], true
	}
	whole := !blamed.More && !other.More // who is not listed is not there
	for _, d := range blamed.Devices {
		o, there := has(other, d.Name)
		if d.Bad || there && d.differs(o) || !there && whole {
			t.add(d)
			if there {
				t.span(o)
			}
		}
	}
	for _, o := range other.Devices {
		if _, there := has(blamed, o.Name); !there && whole {
			t.add(o)
		}
	}
	if len(t.devices) == 0 {
		t.add(blamed.Devices...)
		for _, o := range other.Devices {
			if _, there := has(blamed, o.Name); !there {
				t.add(o)
			}
		}
	}
	t.more = t.more || !whole
	return t
}

func (d DeviceDetail) differs(o DeviceDetail) bool {
	return d.From != o.From || d.To != o.To || d.Sum != "" && o.Sum != "" && d.Sum != o.Sum
}

func (t *touched) add(list ...DeviceDetail) {
	for _, d := range list {
		t.span(d)
		if len(t.devices) == MaxDevices {
			t.more = true
			continue
		}
		t.devices = append(t.devices, d.Name)
	}
}

// span makes the range of times hold those of a device.
func (t *touched) span(d DeviceDetail) {
	if d.From == 0 && d.To == 0 {
		return
	}
	if t.from == nil || d.From < *t.from {
		t.from = &d.From
	}
	if t.to == nil || d.To > *t.to {
		t.to = &d.To
	}
}
