metadata description = 'Realign in one resource group: the app, what it stores, how it reaches Prism, who may use it, and who is told.'

targetScope = 'resourceGroup'

@description('Begins every name: a lower-case letter, then lower-case letters and digits, 3 to 10 of them.')
@minLength(3)
@maxLength(10)
param name string = 'realign'

param location string = resourceGroup().location
param tags object = {}

// ---- the app

@description('Dedicated Linux plan. B1 is enough for most; P0v3 and up have deployment slots. Flex Consumption and Elastic Premium are left out: see infra/README.md.')
@allowed([ 'B1', 'B2', 'B3', 'S1', 'S2', 'S3', 'P0v3', 'P1v3', 'P2v3' ])
param planSku string = 'B1'

@description('Instances of the plan. Several do no harm: locks keep runs apart.')
@minValue(1)
@maxValue(10)
param instances int = 1

@description('Python of the app. The package has to be built for the same version.')
@allowed([ '3.11', '3.12', '3.13' ])
param pythonVersion string = '3.12'

@description('When profiles with "schedule": true run: six fields, second minute hour day month weekday.')
param schedule string = '0 0 3 * * *'

@description('Time zone of the schedule, as an IANA name such as Europe/Paris. Empty: UTC.')
param timeZone string = ''

@description('Hosts that webhooks may be at, such as hooks.corp.example or *.logic.azure.com. No other host is told anything.')
param notifyHosts array = []

@description('Folder of the profiles in the package. Empty: the blob container profiles of the storage account.')
param profilesFolder string = ''

@description('Opens the console (SSH) of the app to its administrators, for python -m shared.doctor. Close it again.')
param consoleOpen bool = false

// ---- who may use it

@description('Application (client) ID of the Entra app registration with the app roles; docs/deploy.md makes it.')
@minLength(36)
@maxLength(36)
param signInClientId string

@description('Sign people in with the identity of the app instead of a client secret (a preview of App Service). False: by the implicit flow, which needs neither.')
param signInWithIdentity bool = true

@description('CIDR ranges that may call the app, and from which it is deployed. All others are refused; 0.0.0.0/0 admits all.')
@minLength(1)
param allowedAddresses array

@description('Service tags that may call the app as well, such as LogicApps for an orchestrator there.')
param allowedServiceTags array = []

// ---- the way to Prism

@description('relay: the app opens Azure Relay hybrid connections itself. appServiceHybrid: App Service opens them, documented for Windows plans only. vnet: through a virtual network.')
@allowed([ 'relay', 'appServiceHybrid', 'vnet' ])
param connectivity string = 'relay'

@description('Each Prism and Delivery Controller on premises: name (letters, digits, hyphens; the profile names it as relay.path), host as in its certificate, port. Unused with vnet.')
param onPremises array = []

@description('Address space of the network that is made for vnet or privateEndpoints: a /26 at least.')
param networkAddresses string = '10.90.0.0/26'

@description('DNS servers of that network, which know the names on premises, and ask Azure for the others. Empty: DNS of Azure.')
param dnsServers array = []

@description('Ways to the premises that no gateway announces: name, addressPrefix, nextHopIp.')
param routes array = []

@description('Resource ID of the hub network with the gateway, for a peering. Its other half is made in the hub: docs/hybrid-connection.md.')
param hubNetworkId string = ''

@description('Resource ID of a subnet of yours for the app, delegated to Microsoft.Web/serverFarms, instead of a network made here.')
param appSubnetId string = ''

// ---- private endpoints

@description('Vault, storage and app behind private endpoints; nothing of them can be reached from the Internet.')
param privateEndpoints bool = false

@description('Resource ID of a subnet of yours for the endpoints; needed with appSubnetId.')
param endpointSubnetId string = ''

@description('Resource ID of the resource group with the private DNS zones of your landing zone. Empty: they are made here.')
param dnsZonesGroupId string = ''

@description('Addresses that may manage secrets and profiles through the firewall of vault and storage, where it is closed for vnet: IPv4 addresses or ranges up to /30.')
param managementAddresses array = []

// ---- what it stores and tells

@description('Copies of the storage account. ZRS outlasts a zone, GZRS a region; neither is in every region.')
@allowed([ 'Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS' ])
param storageRedundancy string = 'Standard_ZRS'

@description('How long telemetry is kept, in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Who gets alerts by e-mail. Empty: they show in the portal only.')
param alertEmails array = []

@description('A plan that waits longer for review raises an alert, in hours.')
@minValue(1)
param reviewHours int = 24

@description('A scheduled profile without a run for longer raises an alert, in hours: the time between runs and some more.')
@minValue(1)
param scheduleHours int = 26

var token = uniqueString(resourceGroup().id, name)
var siteName = '${name}-${token}'
var hasRelay = connectivity != 'vnet'
var hasNetwork = connectivity == 'vnet' || privateEndpoints
var makesNetwork = hasNetwork && empty(appSubnetId)
// stands for a client secret: App Service then proves itself with the identity that the setting names
var signInSetting = 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: { name: '${name}-${token}', location: location, tags: tags }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: { name: '${name}-${token}', location: location, tags: tags, retentionDays: logRetentionDays }
}

module network 'modules/network.bicep' = if (makesNetwork) {
  name: 'network'
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    addressPrefix: networkAddresses
    dnsServers: dnsServers
    routes: routes
    hubNetworkId: hubNetworkId
  }
}

var appSubnet = makesNetwork ? network!.outputs.appSubnetId : appSubnetId
var endpointSubnet = makesNetwork ? network!.outputs.endpointSubnetId : endpointSubnetId

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: '${name}${token}'
    location: location
    tags: tags
    redundancy: storageRedundancy
    isPrivate: privateEndpoints
    appSubnetId: appSubnet
    managementAddresses: managementAddresses
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    isPrivate: privateEndpoints
    appSubnetId: appSubnet
    managementAddresses: managementAddresses
    workspaceId: monitoring.outputs.workspaceId
  }
}

module relay 'modules/relay.bicep' = if (hasRelay) {
  name: 'relay'
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    onPremises: onPremises
    workspaceId: monitoring.outputs.workspaceId
  }
}

// before the app: it starts by reading its storage
module roles 'modules/roles.bicep' = {
  name: 'roles'
  params: {
    identityName: identity.outputs.name
    storageName: storage.outputs.name
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
    relayName: hasRelay ? relay!.outputs.name : 'none'
    targets: connectivity == 'relay' ? onPremises : []
  }
}

var baseSettings = {
  FUNCTIONS_EXTENSION_VERSION: '~4'
  FUNCTIONS_WORKER_RUNTIME: 'python'
  AzureWebJobsStorage__blobServiceUri: storage.outputs.blobUri
  AzureWebJobsStorage__queueServiceUri: storage.outputs.queueUri
  AzureWebJobsStorage__tableServiceUri: storage.outputs.tableUri
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.outputs.clientId
  KEY_VAULT_URL: vault.outputs.url
  REALIGN_PROFILES: empty(profilesFolder) ? storage.outputs.profilesUri : profilesFolder
  REALIGN_SCHEDULE: schedule
  REALIGN_NOTIFY_HOSTS: join(notifyHosts, ',')
  PYTHON_THREADPOOL_THREAD_COUNT: '32'
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identity.outputs.clientId}'
  // the package brings its dependencies
  SCM_DO_BUILD_DURING_DEPLOYMENT: 'false'
  ENABLE_ORYX_BUILD: 'false'
}
var timeZoneSetting = empty(timeZone) ? {} : { WEBSITE_TIME_ZONE: timeZone }
var signInSettings = signInWithIdentity ? { OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: identity.outputs.clientId } : {}

module site 'modules/site.bicep' = {
  name: 'site'
  params: {
    name: siteName
    planName: '${name}-${token}'
    location: location
    tags: tags
    planSku: planSku
    instances: instances
    pythonVersion: pythonVersion
    identityId: identity.outputs.id
    appSettings: union(baseSettings, timeZoneSetting, signInSettings)
    appSubnetId: appSubnet
    isPrivate: privateEndpoints
    allowedAddresses: allowedAddresses
    allowedServiceTags: allowedServiceTags
    consoleOpen: consoleOpen
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [ roles ]
}

module signIn 'modules/sign_in.bicep' = {
  name: 'sign-in'
  params: {
    siteName: site.outputs.name
    clientId: signInClientId
    credentialSetting: signInWithIdentity ? signInSetting : ''
  }
}

module appServiceHybrid 'modules/app_service_hybrid.bicep' = if (connectivity == 'appServiceHybrid') {
  name: 'app-service-hybrid'
  params: {
    siteName: site.outputs.name
    relayName: relay!.outputs.name
    onPremises: onPremises
  }
}

module endpoints 'modules/private_endpoints.bicep' = if (privateEndpoints) {
  name: 'private-endpoints'
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    subnetId: endpointSubnet
    networkId: split(endpointSubnet, '/subnets/')[0]
    zonesGroupId: dnsZonesGroupId
    targets: [
      { id: storage.outputs.id, group: 'blob', zone: 'privatelink.blob.${environment().suffixes.storage}' }
      { id: storage.outputs.id, group: 'queue', zone: 'privatelink.queue.${environment().suffixes.storage}' }
      { id: storage.outputs.id, group: 'table', zone: 'privatelink.table.${environment().suffixes.storage}' }
      { id: vault.outputs.id, group: 'vault', zone: 'privatelink.vaultcore.azure.net' }
      { id: site.outputs.id, group: 'sites', zone: 'privatelink.azurewebsites.net' }
    ]
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    name: name
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    siteId: site.outputs.id
    emails: alertEmails
    reviewHours: reviewHours
    scheduleHours: scheduleHours
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: { title: 'Realign', location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

output appName string = site.outputs.name
output appUrl string = 'https://${site.outputs.host}'
output reviewPage string = 'https://${site.outputs.host}/api/review'
output signInRedirect string = 'https://${site.outputs.host}/.auth/login/aad/callback'
output identityPrincipalId string = identity.outputs.principalId
output identityClientId string = identity.outputs.clientId
output vaultName string = vault.outputs.name
output storageName string = storage.outputs.name
output relayName string = hasRelay ? relay!.outputs.name : ''
output relayNamespace string = hasRelay ? relay!.outputs.host : ''
