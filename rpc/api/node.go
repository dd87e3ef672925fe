package api

// Node is one row of the node table.
type Node struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"`
	State       string `json:"state"` // up, suspect, down, draining, drained
	Zone        string `json:"zone"`
	RPCAddr     string `json:"rpc_addr"`
	HTTPAddr    string `json:"http_addr"`
	GossipAddr  string `json:"gossip_addr"`
	Version     string `json:"version"`
	Groups      int    `json:"groups"`
	Primaries   int    `json:"primaries"`
	Leaders     int    `json:"leaders"`
	Bytes       int64  `json:"bytes"`
	DiskFree    int64  `json:"disk_free"`
	StartedAt   Time   `json:"started_at"`
	LastSeenMs  *int64 `json:"last_seen_ms"`
	// ClockOffsetMs is how far the node's clock is ahead of the majority's.
	ClockOffsetMs *int64 `json:"clock_offset_ms"`
}

// NodeStates are the words of Node.State.
var NodeStates = []string{"up", "suspect", "down", "draining", "drained"}

// NodeList is a page of the node table.
type NodeList struct {
	Nodes         []Node `json:"nodes"`
	NextPageToken string `json:"next_page_token"`
}

// Cluster is the summary of GET /v1/admin/cluster.
type Cluster struct {
	ClusterID     string  `json:"cluster_id"`
	Name          string  `json:"name"`
	TotalGroups   uint32  `json:"total_groups"`
	GroupsInUse   int     `json:"groups_in_use"`
	GroupsLed     int     `json:"groups_led"`
	GroupsHealthy int     `json:"groups_healthy"`
	Nodes         int     `json:"nodes"`
	NodesUp       int     `json:"nodes_up"`
	MetaLeader    *string `json:"meta_leader"`
	MetaIndex     uint64  `json:"meta_index"`
	AnsweredBy    string  `json:"answered_by"`
	Verdict       string  `json:"verdict"` // 214/214 groups healthy, 42 not in use
}

// Database is one row of GET /v1/databases. Retention is a duration such as
// "90d" or "1h30m", "" for ever.
type Database struct {
	Name      string `json:"name"`
	Retention string `json:"retention"`
	CreatedAt Time   `json:"created_at"`
}

// DatabaseList is a page of databases.
type DatabaseList struct {
	Databases     []Database `json:"databases"`
	NextPageToken string     `json:"next_page_token"`
}

// Collection is one row of GET /v1/databases/{db}/collections.
type Collection struct {
	Name string `json:"name"`
}

// CollectionList is a page of collections.
type CollectionList struct {
	Collections   []Collection `json:"collections"`
	NextPageToken string       `json:"next_page_token"`
}

// Version is the answer of GET /v1/admin/version.
type Version struct {
	Version   string `json:"version"`
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"`
	Revision  string `json:"revision"`
}

// Setting is one row of GET /v1/admin/settings. Secrets are masked.
type Setting struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Default     string `json:"default"`
	Source      string `json:"source"` // flag, environment, file, cluster, default
	ClusterWide bool   `json:"cluster_wide"`
	Doc         string `json:"doc"`
}

// SettingList is a page of settings.
type SettingList struct {
	Settings      []Setting `json:"settings"`
	NextPageToken string    `json:"next_page_token"`
}
