package storage

import (
	"bytes"
	"fmt"
	"slices"
)

// Databases lists the databases that have points, sorted.
func (s *Shard) Databases() ([]string, error) {
	return s.names(nil, func(series Series) string { return series.Database })
}

// Collections lists the collections of a database that have points, sorted.
func (s *Shard) Collections(database string) ([]string, error) {
	return s.names(collectionPrefix(database, ""), func(series Series) string { return series.Collection })
}

// names collects what pick makes of the series whose keys begin with the prefix.
func (s *Shard) names(prefix []byte, pick func(Series) string) ([]string, error) {
	found := make(map[string]bool)
	err := s.seriesKeys(prefix, func(key []byte) error {
		series, err := ParseKey(key)
		if err == nil {
			found[pick(series)] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, len(found))
	for name := range found {
		list = append(list, name)
	}
	slices.Sort(list)
	return list, nil
}

// Series lists the series of a collection, of a database (collection empty), or all (both empty), in key order. A
// series whose points a delete in a head has just removed may still be listed, until that head is flushed.
func (s *Shard) Series(database, collection string) ([]Series, error) {
	var prefix []byte
	if database != "" {
		prefix = collectionPrefix(database, collection)
	}
	var keys [][]byte
	err := s.seriesKeys(prefix, func(key []byte) error {
		keys = append(keys, slices.Clone(key))
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	list := make([]Series, len(keys))
	for i, key := range keys {
		if list[i], err = ParseKey(key); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// seriesKeys yields the keys of series in heads and file, some twice, in no order.
func (s *Shard) seriesKeys(prefix []byte, yield func(key []byte) error) error {
	s.mu.RLock()
	if s.err != nil {
		defer s.mu.RUnlock()
		return s.err
	}
	var inHeads []string
	for _, h := range append(slices.Clip(s.frozen), s.active) {
		for key, hs := range h.series {
			if len(hs.runs) > 0 && len(key) >= len(prefix) && key[:len(prefix)] == string(prefix) {
				inHeads = append(inHeads, key)
			}
		}
	}
	tx, err := s.file.begin()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	defer s.file.end(tx)
	for _, key := range inHeads {
		if err := yield([]byte(key)); err != nil {
			return err
		}
	}
	return s.file.guard("list series", func() error {
		t, err := getTotals(s.file.bucket(tx, bucketMeta))
		if err != nil {
			return s.file.damage(err)
		}
		// All of them are looked at and counted: a search does not find what lies behind a page or a key that is damaged.
		seen, last := uint64(0), []byte(nil)
		c := s.file.bucket(tx, bucketSeries).Cursor()
		for k, v := c.First(); k != nil && seen <= t.series; k, v = c.Next() {
			if _, err := unseal(k, v); err != nil {
				return s.file.damage(fmt.Errorf("series index: %w", err))
			}
			if seen > 0 && bytes.Compare(k, last) <= 0 { // an element that says where another one lies
				return s.file.damage(fmt.Errorf("series index: key %x lies behind %x", k, last))
			}
			seen, last = seen+1, k
			if !bytes.HasPrefix(k, prefix) {
				continue
			}
			if err := yield(k); err != nil {
				return err
			}
		}
		if seen != t.series {
			return s.file.damage(fmt.Errorf("series index: %d series found, %d expected", seen, t.series))
		}
		return nil
	})
}
