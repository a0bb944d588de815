package schemas

import "bytes"

// The families that no word tells: an empty agent, and one that has none of them.
const (
	AgentNone = "none"
	AgentTool = "tool"
)

// AgentRobot is the family of those that name themselves one.
const AgentRobot = "robot"

// AgentWords is one family of agents: those that contain one of the words and
// none of the words of a family before it.
type AgentWords struct {
	Name  string
	Words []string
	Fold  bool // the words stand in lower case and match in any (ASCII)
}

// AgentFamilies are the families in the order in which they are tried. An agent
// says whatever its sender likes; what a family is good for is the company it keeps:
// a browser that sends no language, a Firefox with Chrome's encodings.
func AgentFamilies() []AgentWords { return agentFamilies }

var agentFamilies = []AgentWords{
	{AgentRobot, []string{"bot", "crawl", "spider", "slurp", "preview", "monitor", "feed", "http:", "https:"}, true},
	{"edge", []string{"Edg/", "EdgA/", "EdgiOS/"}, false},
	{"opera", []string{"OPR/"}, false},
	{"samsung", []string{"SamsungBrowser/"}, false},
	{"firefox", []string{"Firefox/", "FxiOS/"}, false},
	{"chrome", []string{"Chrome/", "CriOS/"}, false},
	{"safari", []string{"Safari/"}, false},
	{"browser", []string{"Mozilla/"}, false},
}

// AgentFamily classifies an agent: "none" where it is empty, "robot" where it names
// itself one or carries a link, then the browser families, "browser" for what else
// says Mozilla, and "tool" for the rest (curl, package managers, ...).
func AgentFamily(agent []byte) string {
	if len(agent) == 0 {
		return AgentNone
	}
	var memory [MaxText]byte
	agent = agent[:min(len(agent), MaxText)]
	folded := memory[:len(agent)]
	for i, c := range agent {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		folded[i] = c
	}
	for i := range agentFamilies {
		f := &agentFamilies[i]
		text := agent
		if f.Fold {
			text = folded
		}
		for _, word := range f.Words {
			if bytes.Contains(text, []byte(word)) {
				return f.Name
			}
		}
	}
	return AgentTool
}
