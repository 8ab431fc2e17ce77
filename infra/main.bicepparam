using 'main.bicep'

// What each parameter means stands in main.bicep. Those below without // have to be filled in; the others show their
// defaults or an example.

// The app registration with the app roles (docs/deploy.md, step 2). azd takes it from its environment:
// azd env set REALIGN_SIGN_IN_CLIENT_ID 11111111-2222-3333-4444-555555555555
param signInClientId = readEnvironmentVariable('REALIGN_SIGN_IN_CLIENT_ID', '')

// From where people and orchestrators call the app, and from where it is deployed.
param allowedAddresses = [
  '203.0.113.0/24'
]
// param allowedServiceTags = [ 'LogicApps' ]

// One entry for each Prism and each Delivery Controller that is on premises. The name is the relay.path of the profile.
param connectivity = 'relay'
param onPremises = [
  { name: 'prism-par', host: 'prism-par.corp.example', port: 9440 }
  { name: 'pc-ams', host: 'pc-ams.corp.example', port: 9440 }
]

// Who is told when something is wrong.
param alertEmails = [
  'vdi-operations@corp.example'
]

// param planSku = 'P0v3'
// param pythonVersion = '3.12'
// param schedule = '0 0 3 * * *'
// param timeZone = 'Europe/Paris'
// param notifyHosts = [ 'hooks.corp.example', '*.logic.azure.com' ]
// param reviewHours = 24
// param scheduleHours = 26

// Through a network instead of the relay:
// param connectivity = 'vnet'
// param networkAddresses = '10.90.0.0/26'
// param dnsServers = [ '10.1.0.4', '10.1.0.5' ]
// param hubNetworkId = '/subscriptions/.../virtualNetworks/hub'
// param routes = [ { name: 'prism-paris', addressPrefix: '10.20.0.0/16', nextHopIp: '10.1.1.4' } ]
// param managementAddresses = [ '203.0.113.10' ]

// Nothing reachable from the Internet:
// param privateEndpoints = true
// param dnsZonesGroupId = '/subscriptions/.../resourceGroups/dns'
