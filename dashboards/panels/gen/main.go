// Command gen writes the dashboards as Grafana reads them: gen FOLDER.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/weir-project/weir/dashboards/panels"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(folder string) error {
	all, err := panels.All()
	if err != nil {
		return err
	}
	for _, d := range all {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(d.Dashboard); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, d.Name+".json"), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
