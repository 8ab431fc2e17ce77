metadata description = 'The plan and the function app: Linux, Python, Functions 4, no key and no password anywhere.'

@description('Name of the app; its address is made by Azure.')
param name string

@description('Name of the plan.')
param planName string

param location string
param tags object

@description('A Dedicated plan, so that the app is always on and its timers fire.')
param planSku string

@minValue(1)
@maxValue(10)
param instances int

@description('Version of Python that the package was built for.')
param pythonVersion string

@description('Resource ID of the user-assigned identity.')
param identityId string

@description('Every app setting. Names and addresses; no secret.')
param appSettings object

@description('Subnet that outgoing calls take. Empty: none.')
param appSubnetId string

@description('Whether only a private endpoint reaches the app.')
param isPrivate bool

@description('CIDR ranges that may call the app and deploy to it. All others are refused.')
param allowedAddresses array

@description('Service tags that may call the app, such as LogicApps.')
param allowedServiceTags array

@description('Whether administrators may open a console in the app, for python -m shared.doctor.')
param consoleOpen bool

param workspaceId string

var addressRules = [for (address, i) in allowedAddresses: {
  name: 'address-${i}'
  action: 'Allow'
  priority: 100 + i
  ipAddress: address
}]

var tagRules = [for (serviceTag, i) in allowedServiceTags: {
  name: 'tag-${serviceTag}'
  action: 'Allow'
  priority: 300 + i
  tag: 'ServiceTag'
  ipAddress: serviceTag
}]

resource plan 'Microsoft.Web/serverfarms@2025-05-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'linux'
  sku: { name: planSku, capacity: instances }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2025-05-01' = {
  name: name
  location: location
  // azd finds the app by this tag
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    reserved: true
    httpsOnly: true
    sshEnabled: consoleOpen
    clientAffinityEnabled: false
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetId: empty(appSubnetId) ? null : appSubnetId
    outboundVnetRouting: { applicationTraffic: !empty(appSubnetId) }
    // closes /admin to the master key; Microsoft documents it, and the resource's published schema lacks it
    #disable-next-line BCP037
    functionsRuntimeAdminIsolationEnabled: true
    siteConfig: {
      linuxFxVersion: 'Python|${pythonVersion}'
      alwaysOn: true
      healthCheckPath: '/api/health/live'
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      use32BitWorkerProcess: false
      ipSecurityRestrictions: concat(addressRules, tagRules)
      ipSecurityRestrictionsDefaultAction: 'Deny'
      scmIpSecurityRestrictionsUseMain: true
      scmIpSecurityRestrictionsDefaultAction: 'Deny'
    }
  }
}

resource noPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-05-01' = [for door in [ 'ftp', 'scm' ]: {
  parent: site
  name: door
  properties: { allow: false }
}]

resource settings 'Microsoft.Web/sites/config@2025-05-01' = {
  parent: site
  name: 'appsettings'
  properties: appSettings
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: site
  name: 'log-analytics'
  properties: {
    workspaceId: workspaceId
    // of the four that a function app has; what the app itself says goes to Application Insights, so FunctionAppLogs
    // would be paid for twice
    logs: [
      { category: 'AppServiceAuthenticationLogs', enabled: true }
      { category: 'AppServiceAuditLogs', enabled: true }
      { category: 'AppServiceIPSecAuditLogs', enabled: true }
    ]
  }
}

output id string = site.id
output name string = site.name
output host string = site.properties.defaultHostName
