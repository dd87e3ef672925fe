package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

func (h *Handler) listGroups(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "state", "node", "limit", "page_token", "fields")
	if err != nil {
		return err
	}
	var list []api.Group
	if node := values.Get("node"); node == "" {
		list, err = h.g.Groups(r.Context())
	} else { // a name that no node has is told, not answered by an empty table
		list, err = h.g.NodeGroups(r.Context(), node)
	}
	if err != nil {
		return err
	}
	return groupPage(w, list, values)
}

func groupPage(w http.ResponseWriter, list []api.Group, values url.Values) error {
	state := values.Get("state")
	if state != "" && state != "active" && state != "syncing" && state != "rebalancing" {
		return api.E(api.InvalidArgument, "active, syncing or rebalancing", "state %q is not known", state)
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list = gateway.FilterGroups(list, state, values.Get("node"))
	list, next, err := gateway.Page(list, limit, token, func(g api.Group) string { return gateway.GroupToken(g.GroupID) })
	if err != nil {
		return err
	}
	switch fields := values["fields"]; {
	case len(fields) == 0:
		return reply(w, http.StatusOK, api.GroupList{Groups: list, NextPageToken: next})
	case len(fields) == 1 && fields[0] == "grid":
		return reply(w, http.StatusOK, grid(list, next))
	}
	return api.E(api.InvalidArgument, "grid, or leave it out", "fields %q is not known", values.Get("fields"))
}

// grid packs the table into arrays: 256 groups stay under 12 KB.
func grid(list []api.Group, next string) api.GroupGrid {
	out := api.GroupGrid{Columns: []string{"group_id", "state", "primary", "leader", "ready", "replicas", "lag"},
		States: []string{"active", "syncing", "rebalancing"}, Nodes: []string{}, Groups: [][]int64{}, NextPageToken: next}
	index := func(names *[]string, name string) int64 {
		if name == "" {
			return -1
		}
		i := slices.Index(*names, name)
		if i < 0 {
			i = len(*names)
			*names = append(*names, name)
		}
		return int64(i)
	}
	for i := range list {
		g := &list[i]
		leader, ready, lag := "", int64(0), uint64(0)
		if g.Leader != nil {
			leader = *g.Leader
		}
		for _, r := range g.Replicas {
			if r.Lag != nil {
				lag = max(lag, *r.Lag)
			}
			if r.State == api.ReplicaReady {
				ready++
			}
		}
		out.Groups = append(out.Groups, []int64{int64(g.GroupID), index(&out.States, g.State), index(&out.Nodes, g.PrimaryNode),
			index(&out.Nodes, leader), ready, int64(len(g.Replicas)), int64(lag)})
	}
	return out
}

func (h *Handler) getGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	row, err := h.g.Group(r.Context(), id)
	return answer(w, http.StatusOK, row, err)
}

func (h *Handler) listNodes(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "state", "limit", "page_token")
	if err != nil {
		return err
	}
	list, err := h.g.Nodes(r.Context())
	if err != nil {
		return err
	}
	if state := values.Get("state"); state != "" {
		if !slices.Contains(api.NodeStates, state) {
			return api.E(api.InvalidArgument, strings.Join(api.NodeStates, ", "), "state %q is not known", state)
		}
		list = slices.DeleteFunc(list, func(n api.Node) bool { return n.State != state })
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list, next, err := gateway.Page(list, limit, token, func(n api.Node) string { return n.Name })
	return answer(w, http.StatusOK, api.NodeList{Nodes: list, NextPageToken: next}, err)
}

func (h *Handler) getNode(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	list, err := h.g.Nodes(r.Context())
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	i := slices.IndexFunc(list, func(n api.Node) bool { return n.Name == name })
	if i < 0 {
		return api.E(api.NodeNotFound, "see /v1/admin/nodes", "node %q does not exist", name)
	}
	return reply(w, http.StatusOK, list[i])
}

func (h *Handler) nodeGroups(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "state", "limit", "page_token", "fields")
	if err != nil {
		return err
	}
	list, err := h.g.NodeGroups(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return groupPage(w, list, values)
}

func (h *Handler) deviceGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	row, err := h.g.DeviceGroup(r.PathValue("db"), r.PathValue("collection"), r.PathValue("id"))
	return answer(w, http.StatusOK, row, err)
}

func (h *Handler) adminDeviceGroup(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "db", "collection")
	if err != nil {
		return err
	}
	row, err := h.g.DeviceGroup(values.Get("db"), values.Get("collection"), r.PathValue("id"))
	return answer(w, http.StatusOK, row, err)
}

func (h *Handler) cluster(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	c, err := h.g.Cluster(r.Context())
	return answer(w, http.StatusOK, c, err)
}
