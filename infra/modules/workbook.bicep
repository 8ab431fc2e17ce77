metadata description = 'A workbook: runs, findings, remaps, outside calls and what waits, over a time that its reader chooses.'

param location string
param tags object
param workspaceId string

@description('Title in the portal.')
param title string

var charts = [
  { title: 'Runs by status', view: 'barchart', query: loadTextContent('../queries/workbook_runs.kql') }
  { title: 'Seconds a run: mean and longest', view: 'timechart', query: loadTextContent('../queries/workbook_run_seconds.kql') }
  { title: 'Findings by kind', view: 'timechart', query: loadTextContent('../queries/workbook_findings.kql') }
  { title: 'Remaps by state', view: 'timechart', query: loadTextContent('../queries/workbook_remaps.kql') }
  { title: 'Dependencies, as last seen', view: 'table', query: loadTextContent('../queries/workbook_dependencies.kql') }
  { title: 'Outside calls by system and host', view: 'table', query: loadTextContent('../queries/workbook_calls.kql') }
  { title: 'What waits: review, schedule, queue (hours)', view: 'timechart', query: loadTextContent('../queries/workbook_waiting.kql') }
]

var timeRange = {
  type: 9
  name: 'time'
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(resourceGroup().id, 'realign-workbook-time')
        version: 'KqlParameterItem/1.0'
        name: 'Time'
        type: 4
        isRequired: true
        value: { durationMs: 604800000 }
        typeSettings: {
          selectableValues: [ { durationMs: 3600000 }, { durationMs: 86400000 }, { durationMs: 604800000 }, { durationMs: 2592000000 } ]
        }
      }
    ]
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
  }
}

var items = [for (chart, i) in charts: {
  type: 3
  name: 'chart-${i}'
  content: {
    version: 'KqlItem/1.0'
    title: chart.title
    query: chart.query
    size: 0
    timeContextFromParameter: 'Time'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    crossComponentResources: [ workspaceId ]
    visualization: chart.view
  }
}]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'realign-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: workspaceId
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([ timeRange ], items)
      fallbackResourceIds: [ workspaceId ]
    })
  }
}
