package plugin

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// completion is what cobra asks for.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeFirst completes the names of a kind as the first argument.
func (o *options) completeFirst(kind string) completion {
	return func(command *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.names(command, kind, begun)
	}
}

// completeEvery completes names of a kind that are not among the arguments yet.
func (o *options) completeEvery(kind string) completion {
	return func(command *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		names, directive := o.names(command, kind, begun)
		kept := names[:0]
		for _, name := range names {
			if !slices.Contains(given, name) {
				kept = append(kept, name)
			}
		}
		return kept, directive
	}
}

// completeTarget completes instances and, as claim/NAME, claims.
func (o *options) completeTarget(command *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if rest, isClaim := strings.CutPrefix(begun, prefixClaim); isClaim {
		names, directive := o.names(command, kindClaim, rest)
		for k := range names {
			names[k] = prefixClaim + names[k]
		}
		return names, directive
	}
	names, directive := o.names(command, kindInstance, begun)
	if strings.HasPrefix(prefixClaim, begun) {
		names, directive = append(names, prefixClaim), directive|cobra.ShellCompDirectiveNoSpace
	}
	return names, directive
}

// completeNamespaces completes --namespace.
func (o *options) completeNamespaces(command *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	cluster, err := o.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var list corev1.NamespaceList
	if err := cluster.Client.List(command.Context(), &list); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for k := range list.Items {
		names = append(names, list.Items[k].Name)
	}
	return beginWith(names, begun), cobra.ShellCompDirectiveNoFileComp
}

// names lists the names of a kind in the namespace.
func (o *options) names(command *cobra.Command, kind, begun string) ([]string, cobra.ShellCompDirective) {
	cluster, err := o.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	switch kind {
	case kindPool:
		var list warmpool.WarmPoolList
		err = cluster.list(command.Context(), false, &list)
		for k := range list.Items {
			names = append(names, list.Items[k].Name)
		}
	case kindInstance:
		var list warmpool.WarmInstanceList
		err = cluster.list(command.Context(), false, &list)
		for k := range list.Items {
			names = append(names, list.Items[k].Name)
		}
	case kindClaim:
		var list warmpool.WarmClaimList
		err = cluster.list(command.Context(), false, &list)
		for k := range list.Items {
			names = append(names, list.Items[k].Name)
		}
	default:
		var list warmpool.VastAccountList
		err = cluster.list(command.Context(), false, &list)
		for k := range list.Items {
			names = append(names, list.Items[k].Name)
		}
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return beginWith(names, begun), cobra.ShellCompDirectiveNoFileComp
}

func beginWith(names []string, begun string) []string {
	var kept []string
	for _, name := range names {
		if strings.HasPrefix(name, begun) {
			kept = append(kept, name)
		}
	}
	return kept
}
