package main

import (
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// preamble opens the page.
const preamble = `<!-- Written by "make generate" from config/crd. Change the Go types in api/v1alpha1 instead. -->

# API reference

Every field of every kind, with its default and the rules that the API server enforces when you apply an object.
The same text is in ` + "`kubectl explain`" + `: try ` + "`kubectl explain warmpool.spec --recursive`" + `.
What the conditions and their reasons mean is in [conditions.md](conditions.md).

How to read the tables:

- ` + "`[]`" + ` marks the items of a list and ` + "`{}`" + ` the values of a map. A field without a default may be left out unless it is marked required.
- The type "dollars" is a text with an amount of US dollars, such as ` + "`\"1.50\"`" + `: below a million, with six decimals at most. In YAML it needs its quotes. What is reported in a status may be negative.
- Durations are whole seconds, and money and memory have their unit in the field's name.
- "list by name" says how server-side apply merges a list: two writers can each own items of it. A "set" has no item twice.
- A status is written by Warmpool alone, so that its tables have no defaults and no rules.
`

// renderPage returns the whole reference in Markdown.
func renderPage(crds []apiextensionsv1.CustomResourceDefinition) string {
	var page strings.Builder
	page.WriteString(preamble)
	page.WriteString("\n")
	for _, crd := range crds {
		kind := crd.Spec.Names.Kind
		anchor := strings.ToLower(kind)
		fmt.Fprintf(&page, "- [%s](#%s): [spec](#%s-spec), [status](#%s-status)\n", kind, anchor, anchor, anchor)
	}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			renderKind(&page, crd, version)
		}
	}
	return page.String()
}

// renderKind writes the chapter of one kind in one version.
func renderKind(page *strings.Builder, crd apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion) {
	names := crd.Spec.Names
	fmt.Fprintf(page, "\n## %s\n\n", names.Kind)
	schema := apiextensionsv1.JSONSchemaProps{}
	if version.Schema != nil && version.Schema.OpenAPIV3Schema != nil {
		schema = *version.Schema.OpenAPIV3Schema
	}
	if schema.Description != "" {
		fmt.Fprintf(page, "%s\n\n", paragraphs(schema.Description))
	}
	fmt.Fprintf(page, "`apiVersion: %s/%s`, %s. Name it `%s` on the command line", crd.Spec.Group, version.Name,
		strings.ToLower(string(crd.Spec.Scope)), strings.Join(append([]string{names.Plural}, names.ShortNames...), "` or `"))
	if version.Subresources != nil && version.Subresources.Scale != nil {
		page.WriteString("; it has a scale subresource")
	}
	page.WriteString(".\n")
	if rules := ruleTexts(schema); len(rules) > 0 {
		fmt.Fprintf(page, "\nRules for the whole object: %s.\n", strings.Join(rules, "; "))
	}
	renderColumns(page, version.AdditionalPrinterColumns)
	for _, part := range []string{"spec", "status"} {
		if props, ok := schema.Properties[part]; ok {
			renderPart(page, names.Kind, part, props)
		}
	}
}

// renderColumns writes what "kubectl get" prints.
func renderColumns(page *strings.Builder, columns []apiextensionsv1.CustomResourceColumnDefinition) {
	if len(columns) == 0 {
		return
	}
	page.WriteString("\nColumns of `kubectl get`, those marked wide with `-o wide`:\n\n| column | shows | |\n|---|---|---|\n")
	for _, column := range columns {
		wide := ""
		if column.Priority > 0 {
			wide = "wide"
		}
		fmt.Fprintf(page, "| %s | %s | %s |\n", cell(column.Name), code(column.JSONPath), wide)
	}
}

// renderPart writes the table of spec or status.
func renderPart(page *strings.Builder, kind, part string, props apiextensionsv1.JSONSchemaProps) {
	fmt.Fprintf(page, "\n### %s %s\n\n", kind, part)
	if props.Description != "" {
		fmt.Fprintf(page, "%s\n\n", paragraphs(props.Description))
	}
	if rules := ruleTexts(props); len(rules) > 0 {
		fmt.Fprintf(page, "Rules across fields: %s.\n\n", strings.Join(rules, "; "))
	}
	rows := withoutRepeats(kind, part, fieldRows(props, ""))
	if part == "status" {
		page.WriteString("| field | type | meaning |\n|---|---|---|\n")
		for _, row := range rows {
			fmt.Fprintf(page, "| %s | %s | %s |\n", code(row.path), cell(row.typeName), cell(row.description))
		}
		return
	}
	page.WriteString("| field | type | default | rules | meaning |\n|---|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(page, "| %s | %s | %s | %s | %s |\n", code(row.path), cell(row.typeName), row.defaultValue, row.rules, cell(row.description)+row.link)
	}
}

// withoutRepeats leaves out what another table shows: the template of a
// WarmInstance is a copy of its pool's.
func withoutRepeats(kind, part string, rows []fieldRow) []fieldRow {
	const copied = "template"
	if kind != "WarmInstance" || part != "spec" {
		return rows
	}
	for k := range rows {
		if rows[k].path == copied {
			rows[k].link = " Its fields are those of [`template` of a WarmPool](#warmpool-spec)."
		}
	}
	return slices.DeleteFunc(rows, func(row fieldRow) bool { return strings.HasPrefix(row.path, copied+".") })
}

// fieldRow is one line of a table; defaultValue, rules and link are Markdown already.
type fieldRow struct {
	path, typeName, defaultValue, rules, description, link string
}

// fieldRows flattens a schema: each field in alphabetical order, its children after it.
func fieldRows(props apiextensionsv1.JSONSchemaProps, prefix string) []fieldRow {
	names := make([]string, 0, len(props.Properties))
	for name := range props.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var rows []fieldRow
	for _, name := range names {
		field := props.Properties[name]
		path := prefix + name
		row := fieldRow{path: path, typeName: typeName(field), description: field.Description}
		if field.Default != nil {
			row.defaultValue = code(string(field.Default.Raw))
		}
		rules := fieldRules(field)
		if slices.Contains(props.Required, name) {
			rules = append([]string{"required"}, rules...)
		}
		row.rules = strings.Join(rules, "; ")
		rows = append(rows, row)
		// Every kind has the same standard conditions; conditions.md explains them.
		if name == "conditions" {
			continue
		}
		rows = append(rows, childRows(field, path)...)
	}
	return rows
}

// childRows returns the rows below one field: of an object, a list's items or a map's values.
func childRows(field apiextensionsv1.JSONSchemaProps, path string) []fieldRow {
	switch {
	case field.Items != nil && field.Items.Schema != nil:
		return append(fieldRows(*field.Items.Schema, path+"[]."), childRowsOfItems(*field.Items.Schema, path)...)
	case field.AdditionalProperties != nil && field.AdditionalProperties.Schema != nil:
		return fieldRows(*field.AdditionalProperties.Schema, path+"{}.")
	default:
		return fieldRows(field, path+".")
	}
}

// childRowsOfItems returns what lies below items that are lists themselves.
func childRowsOfItems(items apiextensionsv1.JSONSchemaProps, path string) []fieldRow {
	if items.Items == nil || items.Items.Schema == nil {
		return nil
	}
	return childRows(items, path+"[]")
}

// typeName says what kind of value a field takes, in words.
func typeName(field apiextensionsv1.JSONSchemaProps) string {
	switch {
	case field.XIntOrString:
		return "integer or string"
	case field.Type == "array" && field.Items != nil && field.Items.Schema != nil:
		return listName(field) + " of " + typeName(*field.Items.Schema)
	case field.AdditionalProperties != nil && field.AdditionalProperties.Schema != nil:
		return "map of " + typeName(*field.AdditionalProperties.Schema)
	case field.Format == "date-time":
		return "time"
	case isMoney(field):
		return "dollars"
	case field.Type == "":
		return "any"
	default:
		return field.Type
	}
}

// listName tells how server-side apply merges a list.
func listName(field apiextensionsv1.JSONSchemaProps) string {
	switch {
	case field.XListType == nil:
		return "list"
	case *field.XListType == "map":
		return "list by " + strings.Join(field.XListMapKeys, " and ")
	case *field.XListType == "set":
		return "set"
	default:
		return "list"
	}
}
