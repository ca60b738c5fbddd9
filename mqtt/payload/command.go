package payload

// Result answers a command.
type Result struct {
	V     int    `json:"v"`
	ID    string `json:"id"` // the command's; empty where it could not be read
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"` // why it was not done
}
