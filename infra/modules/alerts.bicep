metadata description = 'The alerts that somebody should get up for. docs/operations.md says what each means and what to do.'

param name string
param location string
param tags object
param workspaceId string
param siteId string

@description('Who is told by e-mail. Empty: alerts show in the portal only.')
param emails array

@description('How long a plan or drift may wait for review, in hours.')
param reviewHours int

@description('How long a scheduled profile may be without a run, in hours: the time between runs and some more.')
param scheduleHours int

var byProfile = [ 'Profile' ]

// severity: 0 critical, 1 error, 2 warning
var alerts = [
  {
    name: 'run-failed'
    title: 'A run failed'
    severity: 1
    query: loadTextContent('../queries/run_failed.kql')
    columns: byProfile
  }
  {
    name: 'poison-message'
    title: 'A work message ended in the poison queue'
    severity: 1
    query: loadTextContent('../queries/poison_message.kql')
    columns: []
  }
  {
    name: 'dependency-not-ready'
    title: 'A dependency is not ready'
    severity: 2
    query: loadTextContent('../queries/dependency_not_ready.kql')
    columns: [ 'Dependency', 'Kind' ]
  }
  {
    name: 'review-waiting'
    title: 'A run waits for review too long'
    severity: 2
    query: replace(loadTextContent('../queries/review_waiting.kql'), '{reviewHours}', string(reviewHours))
    columns: byProfile
  }
  {
    name: 'schedule-late'
    title: 'A scheduled profile had no run within its time'
    severity: 2
    query: replace(loadTextContent('../queries/schedule_late.kql'), '{scheduleHours}', string(scheduleHours))
    columns: byProfile
  }
  {
    name: 'queue-slow'
    title: 'Work waits in the queue for long'
    severity: 2
    query: loadTextContent('../queries/queue_slow.kql')
    columns: [ 'Step' ]
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'realign'
    emailReceivers: [for (email, i) in emails: { name: 'person-${i}', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in alerts: {
  name: '${name}-${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: alert.title
    severity: alert.severity
    enabled: true
    scopes: [ workspaceId ]
    evaluationFrequency: 'PT5M'
    // three times the frequency: telemetry arrives minutes late
    windowSize: 'PT15M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: map(alert.columns, column => { name: column, operator: 'Include', values: [ '*' ] })
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: empty(emails) ? [] : [ people.id ] }
  }
}]

// alone of its kind: it speaks when nothing else can
resource silence 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-silent'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'The app says nothing any more'
    severity: 1
    enabled: true
    scopes: [ workspaceId ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../queries/alive.kql')
          timeAggregation: 'Count'
          operator: 'LessThan'
          threshold: 1
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: empty(emails) ? [] : [ people.id ] }
  }
}

resource unhealthy 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-unhealthy'
  location: 'global'
  tags: tags
  properties: {
    description: 'An instance of the app does not answer its health check'
    severity: 1
    enabled: true
    scopes: [ siteId ]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'health'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.Web/sites'
          metricName: 'HealthCheckStatus'
          timeAggregation: 'Average'
          operator: 'LessThan'
          threshold: 100
        }
      ]
    }
    actions: empty(emails) ? [] : [ { actionGroupId: people.id } ]
  }
}
