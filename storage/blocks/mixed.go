package blocks

// fillMixed appends to dst the columns of one field that has several kinds in the sources: in a row the last value wins,
// whatever its kind, so rows are taken one by one.
func (m *merger) fillMixed(dst *Columns, keys []columnKey) {
	base := len(dst.Cols)
	for _, key := range keys {
		col := dst.zeroColumn(key)
		col.Present = padded(col.Present, bitmapWords(dst.Len()))
	}
	group := dst.Cols[base:]
	for _, s := range m.sources {
		var from [String]*Column // by place in keys
		found := 0
		for k, key := range keys {
			if from[k] = findColumn(s.cols, key); from[k] != nil {
				found++
			}
		}
		for _, r := range m.runs[s.lo:s.hi] {
			if found == 1 {
				replaceKinds(group, from[:len(keys)], r)
				continue
			}
			// Rows of one source may meet in one row of the result, so the order of rows goes before that of kinds.
			for i := range r.n {
				replaceKinds(group, from[:len(keys)], run{r.src + i, r.dst + i, 1})
			}
		}
	}
}

// replaceKinds copies a run of all kinds that a source has; of several kinds, only one is present in a row.
func replaceKinds(group []Column, from []*Column, r run) {
	for k, src := range from {
		if src != nil {
			replaceRun(group, k, src, r)
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
