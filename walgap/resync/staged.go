package resync

// StagedJob is the id of the job that a staging folder belongs to.
func StagedJob(dir string) (string, error) {
	s, err := readState(dir)
	if err != nil {
		return "", err
	}
	return s.Request.ID, nil
}
