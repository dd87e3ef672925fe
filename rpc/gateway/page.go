package gateway

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// Bounds of a page of a list.
const (
	DefaultPage = 1000
	MaxPage     = 10_000
)

// Page cuts a list to one page: what follows the item whose token is given.
// The token of the page's last item is that of the next page, "" at the end.
func Page[T any](list []T, limit int, token string, tokenOf func(T) string) (page []T, next string, err error) {
	switch {
	case limit == 0:
		limit = DefaultPage
	case limit < 0 || limit > MaxPage:
		return nil, "", api.E(api.InvalidArgument, fmt.Sprintf("1 to %d", MaxPage), "limit %d is out of range", limit)
	}
	if token != "" {
		at := slices.IndexFunc(list, func(v T) bool { return tokenOf(v) == token })
		if at < 0 {
			return nil, "", api.E(api.InvalidArgument, "begin the list again without it", "page_token %q is not known", token)
		}
		list = list[at+1:]
	}
	if len(list) > limit {
		list = list[:limit]
		next = tokenOf(list[limit-1])
	}
	if list == nil {
		list = []T{}
	}
	return list, next, nil
}

// GroupToken is the page token of a group.
func GroupToken(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// FilterGroups keeps the groups of a state that a node holds; "" is any.
func FilterGroups(list []api.Group, state, node string) []api.Group {
	return slices.DeleteFunc(list, func(g api.Group) bool {
		return state != "" && g.State != state || node != "" && g.PrimaryNode != node && !slices.Contains(g.ReplicaNodes, node)
	})
}
