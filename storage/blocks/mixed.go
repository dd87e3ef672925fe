package blocks

// fillMixed appends to dst the columns of one field that has several kinds in the sources: in a row the last value wins,
// whatever its kind, so a value also takes its row from the other kinds.
func (m *merger) fillMixed(dst *Columns, keys []columnKey) {
	base := len(dst.Cols)
	for _, key := range keys {
		col := dst.zeroColumn(key)
		col.Present = padded(col.Present, bitmapWords(dst.Len()))
	}
	group := dst.Cols[base:]
	for _, s := range m.sources {
		var from [String]*Column // by place in keys
		for k, key := range keys {
			from[k] = findColumn(s.cols, key)
		}
		for _, r := range m.runs[s.lo:s.hi] { // the rows of one run do not meet, so its kinds may go one after another
			for k, src := range from[:len(keys)] {
				if src != nil {
					replaceRun(group, k, src, r)
				}
			}
		}
	}
}

// replaceRun copies the present rows of a run to group[k], and takes them from the other kinds.
func replaceRun(group []Column, k int, src *Column, r run) {
	for i := range r.n {
		if !src.Present.Has(r.src + i) {
			continue
		}
		row := r.dst + i
		for j := range group {
			if j != k {
				group[j].remove(row)
			}
		}
		if group[k].Present.Set(row); group[k].Kind == String {
			group[k].Strs[row] = src.Strs[r.src+i]
		} else {
			group[k].Nums[row] = src.Nums[r.src+i]
		}
	}
}

// remove makes the row absent. The column has a bitmap.
func (col *Column) remove(row int) {
	if col.Present.Clear(row); col.Kind == String {
		col.Strs[row] = ""
	} else {
		col.Nums[row] = 0
	}
}
