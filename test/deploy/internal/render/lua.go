package render

import (
	"fmt"
	"os"
	"path"

	lua "github.com/yuin/gopher-lua"
)

// Health is what a health check of Argo CD says.
type Health struct {
	// Status is Healthy, Progressing, Degraded, Suspended, Missing or Unknown.
	Status string
	// Message is for people.
	Message string
}

// HealthOf runs the health check of a kind in config/argocd over an object, as
// Argo CD does: with gopher-lua, and without the libraries that it does not open.
func HealthOf(object map[string]any, kind string) (Health, error) {
	script, err := os.ReadFile(path.Join(Root, "config", "argocd", kind+".lua"))
	if err != nil {
		return Health{}, fmt.Errorf("reading the health check: %w", err)
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return Health{}, fmt.Errorf("opening the library %q: %w", name, err)
		}
	}
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(string(script)); err != nil {
		return Health{}, fmt.Errorf("running the health check of %s: %w", kind, err)
	}
	answer, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return Health{}, fmt.Errorf("the health check of %s returned %s, want a table", kind, state.Get(-1).Type())
	}
	return Health{Status: answer.RawGetString("status").String(), Message: answer.RawGetString("message").String()}, nil
}

// toLua converts what JSON can hold.
func toLua(state *lua.LState, node any) lua.LValue {
	switch node := node.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, value := range node {
			table.RawSetString(key, toLua(state, value))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, value := range node {
			table.Append(toLua(state, value))
		}
		return table
	case string:
		return lua.LString(node)
	case bool:
		return lua.LBool(node)
	case int64:
		return lua.LNumber(node)
	case float64:
		return lua.LNumber(node)
	default:
		return lua.LNil
	}
}
