package intake

import (
	"os"
	"os/user"
	"strconv"
)

// Permit lets the owner and, unless it is "", a group write to a pipe or a socket that was just
// made. Until then no ordinary umask lets anybody but the owner.
func Permit(path, group string) error {
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return err
		}
		id, err := strconv.Atoi(g.Gid)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, id); err != nil {
			return err
		}
	}
	return os.Chmod(path, 0o660)
}
